package image

import (
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// ReleaseChange tells where two bases call themselves another distribution, or
// another release line of one, by the labels org.opencontainers.image.ref.name
// and .version (https://github.com/opencontainers/image-spec/blob/main/annotations.md).
// ok is false when they do not, or when either of them says nothing: most bases
// carry no such labels, and /etc/os-release is in a layer.
func ReleaseChange(oldBase, newBase *Config) (from, to string, ok bool) {
	oldName, oldVersion := release(oldBase)
	newName, newVersion := release(newBase)
	if oldVersion == "" || newVersion == "" {
		return "", "", false
	}
	if oldName == newName && releaseLine(oldVersion) == releaseLine(newVersion) {
		return "", "", false
	}
	return strings.TrimSpace(oldName + " " + oldVersion), strings.TrimSpace(newName + " " + newVersion), true
}

func release(c *Config) (name, version string) {
	if c == nil {
		return "", ""
	}
	return c.Config.Labels[ocispecs.AnnotationRefName], c.Config.Labels[ocispecs.AnnotationVersion]
}

// releaseLine is a version without what changes within a release: Ubuntu's line
// is 24.04, and Alpine's 3.20.
func releaseLine(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
