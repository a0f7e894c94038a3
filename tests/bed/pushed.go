package bed

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var uploadLine = regexp.MustCompile(`"PUT /v2/[^ "?]+/blobs/uploads/[^ "?]*\?([^ "]*) [^"]*" 201 .*"([^"]*)"`)

// Pushed gives the digests of the blobs that were uploaded after the mark,
// those of the bed itself left out. The account of requests has only the
// upload's own name; the digest is in the query of its last request.
func (r *Registry) Pushed(t testing.TB, mark Mark) []string {
	t.Helper()
	var digests []string
	for line := range strings.Lines(r.readLog(t)[mark:]) {
		match := uploadLine.FindStringSubmatch(line)
		if match == nil || strings.HasPrefix(match[2], userAgent) {
			continue
		}
		if query, err := url.ParseQuery(match[1]); err == nil && query.Has("digest") {
			digests = append(digests, query.Get("digest"))
		}
	}
	return digests
}
