module github.com/tonistiigi/jaeger-ui-rest

go 1.26
