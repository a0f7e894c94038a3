package image

import (
	"fmt"
	"slices"
	"testing"
)

func TestCompareConfigs(t *testing.T) {
	a := `{"created":"2020-01-01T00:00:00Z","architecture":"amd64","config":{"Env":["A=1","B=2"],"Cmd":["a","&&"]},
		"rootfs":{"type":"layers","diff_ids":["x"]},"history":[{"created_by":"one"}]}`
	b := `{"created":"2021-01-01T00:00:00Z","architecture":"amd64","config":{"Env":["B=3","A=1","C=4"],"Cmd":["a"],"User":"u"},
		"rootfs":{"type":"layers","diff_ids":["x","y"]},"history":[{"created_by":"one"},{"created_by":"two","created":"2021-01-01T00:00:00Z"}]}`
	for _, tt := range []struct {
		a, b  string
		built bool
		want  []string
	}{
		{a, a, false, nil},
		{a, b, false, []string{
			`config.Cmd ["a","&&"] ["a"]`, `config.Env B "2" "3"`, `config.Env C  "4"`, `config.User  "u"`,
			`created "2020-01-01T00:00:00Z" "2021-01-01T00:00:00Z"`,
			`history[1]  {"created":"2021-01-01T00:00:00Z","created_by":"two"}`, `rootfs.diff_ids[1]  "y"`,
		}},
		{b, a, true, []string{
			`config.Cmd ["a"] ["a","&&"]`, `config.Env B "3" "2"`, `config.Env C "4" `, `config.User "u" `, `history[1] {"created_by":"two"} `,
		}},
		{"", `{"os":"linux"}`, false, []string{`os  "linux"`}},
	} {
		list, err := CompareConfigs([]byte(tt.a), []byte(tt.b), tt.built)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range list {
			got = append(got, fmt.Sprintf("%s %s %s", d.Field, d.From, d.To))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("got\n%q\nwant\n%q", got, tt.want)
		}
	}
	if _, err := CompareConfigs([]byte("{"), nil, false); err == nil {
		t.Error("a damaged config was read")
	}
}

func TestClosest(t *testing.T) {
	known := []string{"first", "second", "builder", "a"}
	for written, want := range map[string]string{
		"fisrt": "first", "SECOND": "second", "buidler": "builder", "third": "", "x": "", "": "", "debian:12": "",
	} {
		if got := Closest(written, known); got != want {
			t.Errorf("closest to %q is %q, want %q", written, got, want)
		}
	}
}
