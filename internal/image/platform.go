package image

import (
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// PlatformError says that an image can not stand on a base that was made for
// another platform.
type PlatformError struct {
	Image, Base ocispecs.Platform
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("the image is for %s, the new base for %s", formatPlatform(e.Image), formatPlatform(e.Base))
}

// CheckPlatform returns a *PlatformError unless the base can carry the image's
// layers: the same OS, architecture and variant, and on Windows the same build.
// What the image's config leaves out is not compared.
func CheckPlatform(image, base ocispecs.Platform) error {
	want := base
	if image.OS != "" {
		want.OS = image.OS
	}
	if image.Architecture != "" {
		want.Architecture, want.Variant = image.Architecture, image.Variant
		// Old builders wrote arm without a variant, for any of them.
		if image.Architecture == base.Architecture && image.Variant == "" {
			want.Variant = base.Variant
		}
	}
	if image.OSVersion != "" {
		want.OSVersion = image.OSVersion
	}
	if samePlatform(want, base) {
		return nil
	}
	return &PlatformError{Image: image, Base: base}
}

// PlatformPair is one platform of an image (Image, an index into the image's
// platforms) and the base's platform that carries it (Base, an index into the
// base's).
type PlatformPair struct {
	Image, Base int
}

// MatchPlatforms finds for every platform of an image the one of the new base to
// rebase it onto, and lists in missing those that the base lacks. Both results
// are in the order of the image's platforms. Entries of platform unknown/unknown
// are attestations, not images, and are passed over.
//
// The match is exact after normalization (arm64 is arm64/v8): a base for arm/v6
// would run below an arm/v7 image, but the result, whose platform is the new
// base's, would claim to run where it does not.
func MatchPlatforms(image, base []ocispecs.Platform) (pairs []PlatformPair, missing []ocispecs.Platform) {
next:
	for i, p := range image {
		if isAttestation(p) {
			continue
		}
		for j, b := range base {
			if !isAttestation(b) && samePlatform(p, b) {
				pairs = append(pairs, PlatformPair{Image: i, Base: j})
				continue next
			}
		}
		missing = append(missing, p)
	}
	return pairs, missing
}

func isAttestation(p ocispecs.Platform) bool {
	return p.OS == "unknown" && p.Architecture == "unknown"
}

func samePlatform(a, b ocispecs.Platform) bool {
	na, nb := platforms.Normalize(a), platforms.Normalize(b)
	return na.OS == nb.OS && na.Architecture == nb.Architecture && na.Variant == nb.Variant &&
		sameWindowsBuild(na, nb)
}

// sameWindowsBuild compares the OS versions of Windows images up to the build
// number (10.0.20348.2527: the fourth part is the patch that a new base brings).
// A process-isolated container must match its host's build, so images of
// different builds are different platforms.
func sameWindowsBuild(a, b ocispecs.Platform) bool {
	if a.OS != "windows" || a.OSVersion == "" || b.OSVersion == "" {
		return true
	}
	return windowsBuild(a.OSVersion) == windowsBuild(b.OSVersion)
}

func windowsBuild(version string) string {
	parts := strings.SplitN(version, ".", 4)
	return strings.Join(parts[:min(3, len(parts))], ".")
}

// formatPlatform writes a platform as users know it, with the OS version where
// it decides.
func formatPlatform(p ocispecs.Platform) string {
	s := platforms.Format(platforms.Normalize(p))
	if p.OS == "windows" && p.OSVersion != "" {
		s += " (" + p.OSVersion + ")"
	}
	return s
}
