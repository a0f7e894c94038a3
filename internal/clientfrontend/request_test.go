package clientfrontend

import (
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
)

func TestRequestSaysWhatTheResultBecomes(t *testing.T) {
	for _, tt := range []struct {
		exporters          []string
		stored, unattested bool
	}{
		{nil, false, true},
		{[]string{"local"}, false, true},
		{[]string{"local", "tar"}, false, true},
		{[]string{"image"}, true, false},
		{[]string{"image", "local"}, false, false},
		{[]string{"tar", "oci"}, false, false},
		{[]string{"docker"}, false, false},
		{[]string{"moby"}, false, false},
	} {
		var req controlapi.SolveRequest
		for _, exporter := range tt.exporters {
			req.Exporters = append(req.Exporters, &controlapi.Exporter{Type: exporter})
		}
		got := request("dockerfile.v0", &req)
		if got.Stored != tt.stored || got.Unattested != tt.unattested {
			t.Errorf("exported as %q, it is stored: %t, unattested: %t; want %t, %t", tt.exporters, got.Stored, got.Unattested, tt.stored, tt.unattested)
		}
	}
}
