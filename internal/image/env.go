package image

import (
	"encoding/json"
	"slices"
	"strings"
)

// defaultPath is what BuildKit puts in an image whose base has no PATH, except
// on Windows (util/system/path.go, frontend/dockerfile/dockerfile2llb/convert.go).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is the variables of a config in their order. A key that stands
// twice has the later value in the earlier place, as container runtimes see it.
type environment struct {
	keys    []string          // as variables are told apart, in order
	entries map[string]string // by key: the entry as written
	windows bool              // keys are told apart without regard to case
}

func parseEnv(entries []string, windows bool) environment {
	env := environment{entries: map[string]string{}, windows: windows}
	for _, entry := range entries {
		name, _ := splitEnv(entry)
		k := env.key(name)
		if _, ok := env.entries[k]; !ok {
			env.keys = append(env.keys, k)
		}
		env.entries[k] = entry
	}
	return env
}

// splitEnv splits at the first "=" that is not the first character: Windows has
// variables such as "=C:".
func splitEnv(entry string) (name, value string) {
	if entry == "" {
		return "", ""
	}
	i := strings.IndexByte(entry[1:], '=')
	if i < 0 {
		return entry, ""
	}
	return entry[:i+1], entry[i+2:]
}

func (env environment) key(name string) string {
	if env.windows {
		return strings.ToUpper(name)
	}
	return name
}

func (env environment) has(key string) bool {
	_, ok := env.entries[key]
	return ok
}

func (env environment) value(key string) string {
	_, v := splitEnv(env.entries[key])
	return v
}

func (env environment) json(key string) json.RawMessage {
	if !env.has(key) {
		return nil
	}
	if dt := jsonOf(env.value(key)); dt != nil {
		return dt
	}
	return json.RawMessage(`""`)
}

// withPath is the environment as an image built on it inherits it: with a PATH.
func (env environment) withPath() environment {
	if env.windows || env.has("PATH") {
		return env
	}
	return parseEnv(append(env.list(), "PATH="+defaultPath), env.windows)
}

func (env environment) list() []string {
	var list []string
	for _, k := range env.keys {
		list = append(list, env.entries[k])
	}
	return list
}

// mergeEnv merges the environment by variable. The new base's variables come
// first in their order, then the image's own in the image's: the order that a
// build on the new base gives, where a variable that is set again keeps its
// place.
func (m *merger) mergeEnv() {
	windows := m.base.OS == "windows"
	image, old, base := parseEnv(m.image.Config.Env, windows), parseEnv(m.old.Config.Env, windows), parseEnv(m.base.Config.Env, windows)
	if image.has("PATH") {
		// The image may have it from BuildKit only. An image without PATH was not
		// made so, and is not given one.
		old, base = old.withPath(), base.withPath()
	}
	keys := slices.Clone(base.keys)
	for _, k := range image.keys {
		if !base.has(k) {
			keys = append(keys, k)
		}
	}
	var out []string
	for _, k := range keys {
		if entry, ok := m.mergeVariable(k, image, old, base); ok {
			out = append(out, entry)
		}
	}
	m.Config.Config.Env = out
}

// mergeVariable is the result's entry for a key; ok is false if it has none.
func (m *merger) mergeVariable(key string, image, old, base environment) (entry string, ok bool) {
	if key == "PATH" {
		if entry, ok := m.mergePath(image, old, base); ok {
			return entry, true
		}
	}
	var e evidence
	if image.has(key) {
		name, value := splitEnv(image.entries[key])
		e = m.history.about(func(in instructions) bool { return in.assigns("ENV", name, value) })
	}
	from := base
	if m.own("Env", key, values{image: image.json(key), old: old.json(key), base: base.json(key)}, e) {
		from = image
	}
	entry, ok = from.entries[key]
	return entry, ok
}

// mergePath makes the image's PATH anew on the new base's where the image added
// to the old base's; ok is false where it did not.
func (m *merger) mergePath(image, old, base environment) (entry string, ok bool) {
	const key = "PATH"
	if !image.has(key) || !base.has(key) {
		return "", false
	}
	oldPath := old.value(key)
	if m.gone {
		oldPath = m.history.base.lastPath()
	}
	sep := ":"
	if image.windows {
		sep = ";"
	}
	spliced, ok := splicePath(image.value(key), oldPath, base.value(key), sep)
	if !ok {
		return "", false
	}
	name, _ := splitEnv(image.entries[key])
	v := values{image: image.json(key), base: jsonOf(spliced)}
	m.change("Env", key, v, "the image's additions to the old base's PATH, put on the new base's")
	return name + "=" + spliced, true
}

// splicePath replaces, in image, the old base's directories by the new base's:
// "/app/bin:OLD" becomes "/app/bin:NEW". ok is false unless all of old's
// directories stand in image, one after another, with others before or after.
//
// This is what the Dockerfile's "ENV PATH=/app/bin:$PATH" gives on the new base.
// The config shows only the expanded value, so a Dockerfile that spelled out the
// base's directories looks the same; there a rebuild would keep them. But that
// is rare, and the other mistake, an image that does not find the programs of
// its base, is the worse one.
func splicePath(image, old, base, sep string) (string, bool) {
	if old == "" || base == "" || image == old {
		return "", false
	}
	have, run := strings.Split(image, sep), strings.Split(old, sep)
	for i := 0; i+len(run) <= len(have); i++ {
		if slices.Equal(have[i:i+len(run)], run) {
			return strings.Join(slices.Concat(have[:i], strings.Split(base, sep), have[i+len(run):]), sep), true
		}
	}
	return "", false
}
