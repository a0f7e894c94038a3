package image

import (
	"errors"
	"slices"
	"strings"
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// platform reads "os/arch[/variant][ os.version]".
func platform(s string) ocispecs.Platform {
	s, version, _ := strings.Cut(s, " ")
	parts := append(strings.Split(s, "/"), "", "")
	return ocispecs.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2], OSVersion: version}
}

func platformList(list ...string) []ocispecs.Platform {
	var out []ocispecs.Platform
	for _, s := range list {
		out = append(out, platform(s))
	}
	return out
}

func TestMatchPlatforms(t *testing.T) {
	for _, tc := range []struct {
		name        string
		image, base []string
		pairs       []PlatformPair
		missing     []string
	}{
		{name: "all there, in another order", image: []string{"linux/amd64", "linux/arm64"}, base: []string{"linux/arm64/v8", "linux/s390x", "linux/amd64"},
			pairs: []PlatformPair{{0, 2}, {1, 0}}},
		{name: "one missing", image: []string{"linux/riscv64", "linux/amd64"}, base: []string{"linux/amd64"},
			pairs: []PlatformPair{{1, 0}}, missing: []string{"linux/riscv64"}},
		{name: "a lower variant is not the same", image: []string{"linux/arm/v7"}, base: []string{"linux/arm/v6"}, missing: []string{"linux/arm/v7"}},
		{name: "attestations on both sides", image: []string{"unknown/unknown", "linux/amd64"}, base: []string{"unknown/unknown", "linux/amd64"},
			pairs: []PlatformPair{{1, 1}}},
		{name: "Windows patch", image: []string{"windows/amd64 10.0.20348.100"}, base: []string{"windows/amd64 10.0.17763.9", "windows/amd64 10.0.20348.2527"},
			pairs: []PlatformPair{{0, 1}}},
		{name: "Windows build", image: []string{"windows/amd64 10.0.17763.9"}, base: []string{"windows/amd64 10.0.20348.2527"}, missing: []string{"windows/amd64 10.0.17763.9"}},
		{name: "OS", image: []string{"linux/amd64"}, base: []string{"windows/amd64"}, missing: []string{"linux/amd64"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pairs, missing := MatchPlatforms(platformList(tc.image...), platformList(tc.base...))
			var got []string
			for _, p := range missing {
				got = append(got, strings.TrimSpace(strings.TrimRight(strings.Join([]string{p.OS, p.Architecture, p.Variant}, "/"), "/")+" "+p.OSVersion))
			}
			if !slices.Equal(pairs, tc.pairs) || !slices.Equal(got, tc.missing) {
				t.Errorf("got %v, missing %q; want %v, missing %q", pairs, got, tc.pairs, tc.missing)
			}
		})
	}
}

func TestCheckPlatform(t *testing.T) {
	for _, tc := range []struct {
		image, base, want string
	}{
		{image: "linux/amd64", base: "linux/amd64"},
		{image: "linux/arm64", base: "linux/arm64/v8"},
		{image: "linux/arm", base: "linux/arm/v6"},
		{image: "/", base: "linux/amd64"},
		{image: "linux/arm/v7", base: "linux/arm/v6", want: "the image is for linux/arm/v7, the new base for linux/arm/v6"},
		{image: "linux/amd64", base: "linux/arm64", want: "the image is for linux/amd64, the new base for linux/arm64"},
		{image: "linux/amd64", base: "windows/amd64 10.0.20348.1", want: "the image is for linux/amd64, the new base for windows/amd64 (10.0.20348.1)"},
		{image: "windows/amd64 10.0.17763.1", base: "windows/amd64 10.0.20348.1",
			want: "the image is for windows/amd64 (10.0.17763.1), the new base for windows/amd64 (10.0.20348.1)"},
	} {
		t.Run(tc.image+" on "+tc.base, func(t *testing.T) {
			err := CheckPlatform(platform(tc.image), platform(tc.base))
			if tc.want == "" {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			var e *PlatformError
			if !errors.As(err, &e) || e.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}
