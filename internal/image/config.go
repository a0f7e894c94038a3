package image

import (
	_ "crypto/sha256" // digests of the algorithms that the image spec registers
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// ErrNotImageConfig is wrapped by the errors of ParseConfig for JSON that is
// well formed but is not the config of a container image, such as the empty
// config of an OCI artifact.
var ErrNotImageConfig = errors.New("not an image config")

// Config is an image config with the fields that this package has no type for.
// The zero value is an empty config; ParseConfig makes a Config from bytes.
type Config struct {
	dockerspec.DockerOCIImage

	// extra and extraConfig are the unknown fields of the config and of its
	// "config" object, by their names as written.
	extra, extraConfig map[string]json.RawMessage
}

// The fields that the types of the image spec know. encoding/json matches the
// names of fields without regard to case, and so do the tools that run images:
// "env" is Env, not an unknown field.
var (
	imageFields  = fieldNames(reflect.TypeFor[dockerspec.DockerOCIImage]())
	configFields = fieldNames(reflect.TypeFor[dockerspec.DockerOCIImageConfig]())
)

// ParseConfig reads an image config in OCI or Docker form
// (https://github.com/opencontainers/image-spec/blob/main/config.md,
// https://github.com/moby/docker-image-spec). The error says what is damaged:
// bytes that are not one JSON object, a field of the wrong type, a rootfs that
// is missing or not of type "layers", a DiffID that is no digest. A history
// that does not agree with the layers is no error here: many images have one,
// and SpliceHistory makes it consistent.
func ParseConfig(dt []byte) (*Config, error) {
	top, err := parseObject(dt)
	if err != nil {
		return nil, fmt.Errorf("parsing image config: %w", err)
	}
	var c Config
	if err := json.Unmarshal(dt, &c.DockerOCIImage); err != nil {
		return nil, fmt.Errorf("parsing image config: %w", err)
	}
	if _, ok := lookupFold(top, "rootfs"); !ok {
		return nil, fmt.Errorf("parsing image config: %w: it has no rootfs", ErrNotImageConfig)
	}
	if err := checkRootFS(&c); err != nil {
		return nil, fmt.Errorf("parsing image config: %w", err)
	}
	c.extra = unknownFields(top, imageFields)
	if raw, ok := lookupFold(top, "config"); ok {
		inner, err := parseObject(raw)
		if err != nil && string(raw) != "null" {
			return nil, fmt.Errorf("parsing image config: field config: %w", err)
		}
		c.extraConfig = unknownFields(inner, configFields)
	}
	return &c, nil
}

// checkRootFS holds the rootfs to the image spec. An empty type is let pass: the
// spec wants "layers", but there is no other, and some builders leave it out.
func checkRootFS(c *Config) error {
	if t := c.RootFS.Type; t != "" && t != "layers" {
		return fmt.Errorf("%w: rootfs type %q, want \"layers\"", ErrNotImageConfig, t)
	}
	for i, d := range c.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return fmt.Errorf("rootfs: DiffID %d of %d, %q: %w", i+1, len(c.RootFS.DiffIDs), d, err)
		}
	}
	return nil
}

// Marshal writes the config as JSON, unknown fields included, with the fields of
// each object sorted by name, so that equal configs are equal bytes.
func (c *Config) Marshal() ([]byte, error) {
	inner, err := withExtra(c.Config, c.extraConfig)
	if err != nil {
		return nil, fmt.Errorf("writing image config: field config: %w", err)
	}
	outer := map[string]json.RawMessage{"config": inner}
	for k, v := range c.extra {
		outer[k] = v
	}
	img := c.DockerOCIImage
	if img.RootFS.Type == "" {
		img.RootFS.Type = "layers"
	}
	dt, err := withExtra(img, outer)
	if err != nil {
		return nil, fmt.Errorf("writing image config: %w", err)
	}
	return dt, nil
}

// withExtra is v as a JSON object with the fields of extra put in.
func withExtra(v any, extra map[string]json.RawMessage) (json.RawMessage, error) {
	dt, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	m, err := parseObject(dt)
	if err != nil {
		return nil, err
	}
	for k, raw := range extra {
		m[k] = raw
	}
	return json.Marshal(m)
}

func parseObject(dt []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(dt, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fmt.Errorf("%w: null instead of an object", ErrNotImageConfig)
	}
	return m, nil
}

func lookupFold(m map[string]json.RawMessage, name string) (json.RawMessage, bool) {
	if raw, ok := m[name]; ok {
		return raw, true
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if strings.EqualFold(k, name) {
			return m[k], true
		}
	}
	return nil, false
}

func unknownFields(m map[string]json.RawMessage, known []string) map[string]json.RawMessage {
	unknown := map[string]json.RawMessage{}
next:
	for k, raw := range m {
		for _, name := range known {
			if strings.EqualFold(k, name) {
				continue next
			}
		}
		unknown[k] = raw
	}
	return unknown
}

// fieldNames is the JSON names of a struct's fields, those of embedded structs
// included. It reads them from the types, so that a field which a later version
// of the image spec adds is not taken for an unknown one.
func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, fieldNames(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		names = append(names, name)
	}
	return names
}
