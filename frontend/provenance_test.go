package frontend

import "testing"

func TestWantsProvenance(t *testing.T) {
	const inline = "mode=min,inline-only=true"
	for _, tt := range []struct {
		opts       map[string]string
		unattested bool
		want       bool
	}{
		{nil, false, false},
		{map[string]string{"attest:sbom": ""}, false, false},
		{map[string]string{"attest:provenance": inline}, false, true},
		{map[string]string{"attest:provenance": inline}, true, false},
		{map[string]string{"attest:provenance": ""}, true, true},
		{map[string]string{"attest:provenance": "mode=max"}, true, true},
		{map[string]string{"attest:provenance": "inline-only=false"}, true, true},
		{map[string]string{"build-arg:BUILDKIT_ATTEST_PROVENANCE": "mode=max"}, true, true},
	} {
		f := &Frontend{Unattested: tt.unattested}
		got, err := f.wantsProvenance(tt.opts)
		if err != nil || got != tt.want {
			t.Errorf("of %q, unattested %t: %t (%v), want %t", tt.opts, tt.unattested, got, err, tt.want)
		}
	}
}
