package image

import (
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// mergeCommand merges Entrypoint, Cmd and ArgsEscaped by the rules of the
// Dockerfile (https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact):
// an ENTRYPOINT resets the Cmd that came with the base. So where the Entrypoint
// is the image's, its Cmd is, too, even if there is none: the new base's Cmd
// would be arguments to a program that does not expect them.
func (m *merger) mergeCommand() {
	out := &m.Config.Config
	var ownEntrypoint, ownCmd bool
	out.Entrypoint, ownEntrypoint = field(m, "Entrypoint",
		func(i dockerspec.DockerOCIImage) []string { return i.Config.Entrypoint }, m.by("ENTRYPOINT"))
	if ownEntrypoint {
		out.Cmd, ownCmd = m.image.Config.Cmd, true
	} else {
		out.Cmd, ownCmd = field(m, "Cmd",
			func(i dockerspec.DockerOCIImage) []string { return i.Config.Cmd }, m.by("CMD"))
		m.noteEntrypoint(ownCmd)
	}
	m.mergeArgsEscaped(ownCmd)
}

// noteEntrypoint says that an image's own Cmd meets another Entrypoint. A
// rebuild does the same, but who rebases may not have thought of it.
func (m *merger) noteEntrypoint(ownCmd bool) {
	image, base := m.image.Config, m.base.Config
	if ownCmd && len(image.Cmd) > 0 && !same(jsonOf(image.Entrypoint), jsonOf(base.Entrypoint)) {
		m.note("Cmd", "", "it is the image's, and becomes the arguments of the new base's Entrypoint")
	}
}

// mergeArgsEscaped lets ArgsEscaped go with the Cmd that it describes: BuildKit
// sets it with CMD and leaves it alone with ENTRYPOINT. It means something on
// Windows only and is listed nowhere.
func (m *merger) mergeArgsEscaped(ownCmd bool) {
	image, old, base := m.image.Config.ArgsEscaped, m.old.Config.ArgsEscaped, m.base.Config.ArgsEscaped //nolint:staticcheck // deprecated in the OCI spec, in use in the Docker one
	escaped := base
	if ownCmd && (len(m.image.Config.Cmd) > 0 || image != old) {
		escaped = image
	}
	m.Config.Config.ArgsEscaped = escaped //nolint:staticcheck // as above
}
