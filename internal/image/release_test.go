package image

import (
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestReleaseChange(t *testing.T) {
	base := func(name, version string) *Config {
		var c Config
		c.Config.Labels = map[string]string{ocispecs.AnnotationRefName: name, ocispecs.AnnotationVersion: version}
		return &c
	}
	for _, test := range []struct {
		name     string
		old, new *Config
		changes  bool
	}{
		{"another line", base("ubuntu", "22.04"), base("ubuntu", "24.04"), true},
		{"another distribution", base("ubuntu", "24.04"), base("debian", "24.04"), true},
		{"a point release", base("alpine", "3.20.1"), base("alpine", "3.20.3"), false},
		{"the same", base("ubuntu", "24.04"), base("ubuntu", "24.04"), false},
		{"nothing known of the new one", base("ubuntu", "24.04"), &Config{}, false},
		{"nothing known of the old one", nil, base("ubuntu", "24.04"), false},
	} {
		if _, _, changes := ReleaseChange(test.old, test.new); changes != test.changes {
			t.Errorf("%s: change %t, want %t", test.name, changes, test.changes)
		}
	}
	if from, to, _ := ReleaseChange(base("ubuntu", "22.04"), base("", "13")); from != "ubuntu 22.04" || to != "13" {
		t.Errorf("from %q to %q", from, to)
	}
}
