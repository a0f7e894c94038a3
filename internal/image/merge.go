package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// Change is a value of the image that the rebase replaces by the new base's, or
// by one made from it.
type Change struct {
	Field string `json:"field"`         // the config's field, such as "Env"
	Key   string `json:"key,omitempty"` // for Env, Labels, ExposedPorts and Volumes
	// From is the image's value as JSON, To the result's; none where there is no
	// value.
	From   json.RawMessage `json:"from,omitempty"`
	To     json.RawMessage `json:"to,omitempty"`
	Reason string          `json:"reason,omitempty"` // where it is more than "inherited"
}

// Conflict is a value that the image changed against its old base and that the
// new base changed, too, in another way. The image's value stays. Without the
// old base's config it is a value in which the image and the new base differ,
// and OldBase is empty. No value is an empty one.
type Conflict struct {
	Field   string          `json:"field"`
	Key     string          `json:"key,omitempty"`
	Image   json.RawMessage `json:"image,omitempty"`
	OldBase json.RawMessage `json:"oldBase,omitempty"`
	NewBase json.RawMessage `json:"newBase,omitempty"`
}

// Note is something about the result that its reader should know and that is
// neither a change nor a conflict.
type Note struct {
	Field string `json:"field,omitempty"`
	Key   string `json:"key,omitempty"`
	Text  string `json:"text"`
}

// Input is an image and its two bases, by their configs.
type Input struct {
	Image   *Config
	NewBase *Config
	// OldBase is nil when the old base is gone.
	OldBase *Config
	// OldBaseLayers is how many of the image's layers are the old base's. It
	// counts, not OldBase's own number of layers.
	OldBaseLayers int
	// Created is the time that the result carries. Nil keeps the image's.
	Created *time.Time
}

// Result is a rebased config and what has become of the image's values. The
// lists are in a fixed order of the fields, keys sorted (Env: in the result's
// order).
type Result struct {
	Config    *Config
	Changes   []Change
	Conflicts []Conflict
	Notes     []Note
}

// MergeConfig merges three ways, field by field, and key by key for Env, Labels,
// ExposedPorts and Volumes: what the image changed against its old base stays,
// what it removed stays removed, what it inherited follows the new base. Where
// both changed, the image's value stays and the conflict is listed. What an
// instruction in the image's own part of the history set counts as changed even
// when the value is the old base's, because a rebuild would set it again.
//
// Without the old base's config the history says as much as it can: what an
// instruction in the old base's part set, and none of the image's own, is
// inherited. Else a value equal to the new base's, or none, is inherited, and
// any other is the image's.
//
// Entrypoint and Cmd are tied (see mergeCommand), PATH is spliced (see
// splicePath), OnBuild is the image's. The platform is the new base's. Fields
// that the image spec does not know are the image's, but for those that describe
// the image before the rebase. rootfs and history are the image's; Rebase sets
// them.
//
// The error is a *PlatformError for a base of another platform, or about an
// input that is not complete. The input is not changed.
func MergeConfig(in Input) (*Result, error) {
	if err := in.check(); err != nil {
		return nil, fmt.Errorf("merging image config: %w", err)
	}
	m := newMerger(in)
	m.mergeTop()
	m.mergeEnv()
	m.mergeCommand()
	m.mergeSets()
	m.mergeScalars()
	m.noteOnBuild()
	m.dropStale()
	return &m.Result, nil
}

func (in Input) check() error {
	if in.Image == nil || in.NewBase == nil {
		return errors.New("no config of the image or of its new base")
	}
	if in.NewBase.OS == "" || in.NewBase.Architecture == "" {
		return errors.New("the new base's config names no platform")
	}
	if err := checkLayers(len(in.Image.RootFS.DiffIDs), in.OldBaseLayers); err != nil {
		return err
	}
	return CheckPlatform(in.Image.Platform, in.NewBase.Platform)
}

// merger is one merge on its way.
type merger struct {
	Result
	image, old, base dockerspec.DockerOCIImage
	gone             bool // the old base's config is not known
	history          history
}

func newMerger(in Input) *merger {
	m := &merger{
		image:   in.Image.DockerOCIImage,
		base:    in.NewBase.DockerOCIImage,
		gone:    in.OldBase == nil,
		history: historyOf(in.historyInput()),
	}
	if !m.gone {
		m.old = in.OldBase.DockerOCIImage
	}
	m.Config = in.Image.clone()
	if in.Created != nil {
		created := *in.Created
		m.Config.Created = &created
	}
	if m.gone {
		m.note("", "", "the old base's config is not known: what equals the new base's, or was set by the old base's part of the history, counts as inherited, the rest as the image's")
	}
	return m
}

func (in Input) historyInput() HistoryInput {
	h := HistoryInput{
		Image:         in.Image.History,
		ImageLayers:   len(in.Image.RootFS.DiffIDs),
		OldBaseLayers: in.OldBaseLayers,
		NewBase:       in.NewBase.History,
		NewBaseLayers: len(in.NewBase.RootFS.DiffIDs),
		Created:       in.Created,
	}
	// With a number of layers that the user forced, the old base's history tells
	// nothing about the cut.
	if in.OldBase == nil || len(in.OldBase.RootFS.DiffIDs) != in.OldBaseLayers {
		h.OldBaseGone = true
	} else {
		h.OldBase = in.OldBase.History
	}
	return h
}

// clone is a copy that shares nothing which the merge changes.
func (c *Config) clone() *Config {
	out := *c
	out.Config.Env = slices.Clone(c.Config.Env)
	out.Config.Labels = maps.Clone(c.Config.Labels)
	out.Config.ExposedPorts = maps.Clone(c.Config.ExposedPorts)
	out.Config.Volumes = maps.Clone(c.Config.Volumes)
	out.History = slices.Clone(c.History)
	out.RootFS.DiffIDs = slices.Clone(c.RootFS.DiffIDs)
	out.extra = maps.Clone(c.extra)
	out.extraConfig = maps.Clone(c.extraConfig)
	return &out
}

func (m *merger) note(field, key, text string) {
	m.Notes = append(m.Notes, Note{Field: field, Key: key, Text: text})
}

// values are the three versions of one value as JSON; nil is none.
type values struct {
	image, old, base json.RawMessage
}

// own decides whether a value of the result is the image's (true) or the new
// base's, and lists what comes of it.
func (m *merger) own(field, key string, v values, e evidence) bool {
	if m.gone {
		return m.ownWithoutOld(field, key, v, e)
	}
	switch {
	case same(v.image, v.old) && !e.own:
		m.change(field, key, v, "")
		return false
	case same(v.image, v.old):
		if !same(v.image, v.base) {
			m.note(field, key, "kept: the image sets it itself, to the value that the old base had")
		}
	case !same(v.old, v.base) && !same(v.image, v.base):
		m.Conflicts = append(m.Conflicts, Conflict{Field: field, Key: key, Image: v.image, OldBase: v.old, NewBase: v.base})
	}
	return true
}

// ownWithoutOld is own for an old base that is gone. Without a value in the
// image there is nothing to keep: a Dockerfile can set values, but hardly remove
// an inherited one.
func (m *merger) ownWithoutOld(field, key string, v values, e evidence) bool {
	switch {
	case e.own:
		return true
	case v.image == nil || e.base:
		m.change(field, key, v, "")
		return false
	case same(v.image, v.base):
		return false
	case v.base != nil:
		m.Conflicts = append(m.Conflicts, Conflict{Field: field, Key: key, Image: v.image, NewBase: v.base})
	}
	return true
}

// change lists a value that follows the new base, if it differs.
func (m *merger) change(field, key string, v values, reason string) {
	if !same(v.image, v.base) {
		m.Changes = append(m.Changes, Change{Field: field, Key: key, From: v.image, To: v.base, Reason: reason})
	}
}

func same(a, b json.RawMessage) bool {
	return bytes.Equal(a, b)
}

// jsonOf is v as JSON, or nil for a value that a config leaves out. It is only
// called on strings, lists of strings and structs of them, which always marshal.
func jsonOf(v any) json.RawMessage {
	dt, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("image: marshaling a config value: %v", err))
	}
	switch string(dt) {
	case `null`, `""`, `[]`, `false`:
		return nil
	}
	return dt
}

// field merges one field that is a value as a whole. It returns the result and
// whether that is the image's.
func field[T any](m *merger, name string, get func(dockerspec.DockerOCIImage) T, e evidence) (T, bool) {
	v := values{image: jsonOf(get(m.image)), old: jsonOf(get(m.old)), base: jsonOf(get(m.base))}
	if m.own(name, "", v, e) {
		return get(m.image), true
	}
	return get(m.base), false
}

// by is the evidence of an instruction that sets a whole field.
func (m *merger) by(keyword string) evidence {
	return m.history.about(func(in instructions) bool { return in.used(keyword) })
}

func (m *merger) mergeTop() {
	out := m.Config
	out.Platform = m.base.Platform
	out.Author, _ = field(m, "author", func(i dockerspec.DockerOCIImage) string { return i.Author }, m.by("MAINTAINER"))
}

func (m *merger) mergeScalars() {
	out := &m.Config.Config
	out.WorkingDir, _ = field(m, "WorkingDir", workingDir, m.by("WORKDIR"))
	out.User, _ = field(m, "User", func(i dockerspec.DockerOCIImage) string { return i.Config.User }, m.by("USER"))
	out.StopSignal, _ = field(m, "StopSignal", func(i dockerspec.DockerOCIImage) string { return i.Config.StopSignal }, m.by("STOPSIGNAL"))
	out.Healthcheck, _ = field(m, "Healthcheck", func(i dockerspec.DockerOCIImage) *dockerspec.HealthcheckConfig { return i.Config.Healthcheck }, m.by("HEALTHCHECK"))
	out.Shell, _ = field(m, "Shell", func(i dockerspec.DockerOCIImage) []string { return i.Config.Shell }, m.by("SHELL"))
}

// workingDir is the working directory in the form that BuildKit gives an
// inherited one (it cleans it), so that "/app/" in a base is the "/app" of the
// image built on it.
func workingDir(i dockerspec.DockerOCIImage) string {
	if wd := i.Config.WorkingDir; strings.HasPrefix(wd, "/") {
		return path.Clean(wd)
	}
	return i.Config.WorkingDir
}

// mergeSets merges the fields that are sets or maps by their keys.
func (m *merger) mergeSets() {
	out := &m.Config.Config
	out.ExposedPorts = mergeMap(m, "ExposedPorts", func(i dockerspec.DockerOCIImage) map[string]struct{} { return i.Config.ExposedPorts }, mentioned[struct{}]("EXPOSE"))
	out.Volumes = mergeMap(m, "Volumes", func(i dockerspec.DockerOCIImage) map[string]struct{} { return i.Config.Volumes }, mentioned[struct{}]("VOLUME"))
	out.Labels = mergeMap(m, "Labels", func(i dockerspec.DockerOCIImage) map[string]string { return i.Config.Labels }, assigned("LABEL"))
}

// mentioned and assigned ask the history about one key.
func mentioned[V any](keyword string) func(instructions, string, V) bool {
	return func(in instructions, key string, _ V) bool { return in.mentions(keyword, key, ' ', '[', ']', ':') }
}

func assigned(keyword string) func(instructions, string, string) bool {
	return func(in instructions, key, value string) bool { return in.assigns(keyword, key, value) }
}

func mergeMap[V any](m *merger, name string, get func(dockerspec.DockerOCIImage) map[string]V, ask func(instructions, string, V) bool) map[string]V {
	image, old, base := get(m.image), get(m.old), get(m.base)
	keys := slices.Concat(slices.Collect(maps.Keys(image)), slices.Collect(maps.Keys(base)))
	slices.Sort(keys)
	var out map[string]V
	for _, k := range slices.Compact(keys) {
		var e evidence
		if v, ok := image[k]; ok {
			e = m.history.about(func(in instructions) bool { return ask(in, k, v) })
		}
		from := base
		if m.own(name, k, values{image: keyJSON(image, k), old: keyJSON(old, k), base: keyJSON(base, k)}, e) {
			from = image
		}
		if v, ok := from[k]; ok {
			if out == nil {
				out = map[string]V{}
			}
			out[k] = v
		}
	}
	return out
}

// keyJSON is the value of a key, nil if the key is not there. An empty value is
// not the same as none.
func keyJSON[V any](values map[string]V, key string) json.RawMessage {
	v, ok := values[key]
	if !ok {
		return nil
	}
	if dt := jsonOf(v); dt != nil {
		return dt
	}
	return json.RawMessage(`""`)
}

// noteOnBuild leaves OnBuild as it is: the triggers of a base run when an image
// is built on it, they are not inherited (BuildKit clears them in
// frontend/dockerfile/dockerfile2llb/convert.go). A rebuild would run the new
// base's; a rebase can not. Triggers that the old base had, too, have left their
// layers in the image.
func (m *merger) noteOnBuild() {
	n := len(m.base.Config.OnBuild)
	if n > 0 && !slices.Equal(m.old.Config.OnBuild, m.base.Config.OnBuild) {
		m.note("OnBuild", "", fmt.Sprintf("the new base has %d ONBUILD triggers: a build on it runs them, a rebase does not", n))
	}
}

// Fields that describe the image before the rebase, and would lie after it:
// BuildKit's inline cache counts layers, its old build info names the base, and
// the classic builder recorded the container and parent that it committed.
var (
	staleFields       = []string{"container", "container_config", "id", "moby.buildkit.buildinfo.v1", "moby.buildkit.cache.v0", "parent"}
	staleConfigFields = []string{"Image"}
)

func (m *merger) dropStale() {
	drop := func(from map[string]json.RawMessage, prefix string, names []string) {
		for _, name := range names {
			if _, ok := from[name]; ok {
				delete(from, name)
				m.note(prefix+name, "", "removed: it describes the image before the rebase")
			}
		}
	}
	drop(m.Config.extra, "", staleFields)
	drop(m.Config.extraConfig, "config.", staleConfigFields)
}
