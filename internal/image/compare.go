package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is a field of an image config that is another in one image than in
// another. From is nil for what the first has not, To for what the second has not.
type Difference struct {
	Field    string // such as "config.Env PATH", "config.Cmd" or "history[3]"
	From, To json.RawMessage
}

// CompareConfigs lists the fields in which two image configs differ, by name: the
// fields of objects, the variables of an environment and the entries of a history
// and of the layers one by one, other lists as a whole. An empty text is the
// config of no image, which has no fields. With built, what is only known of an
// image that there is already, times and layers, is left out.
func CompareConfigs(a, b []byte, built bool) ([]Difference, error) {
	var sides [2]any
	for i, raw := range [][]byte{a, b} {
		sides[i] = map[string]any{}
		if len(raw) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&sides[i]); err != nil {
			return nil, fmt.Errorf("parsing image config: %w", err)
		}
		if built {
			dropBuilt(sides[i])
		}
	}
	var c configComparison
	err := c.compare("", sides[0], sides[1])
	return c.list, err
}

func dropBuilt(config any) {
	fields, _ := config.(map[string]any)
	delete(fields, "created")
	delete(fields, "rootfs")
	history, _ := fields["history"].([]any)
	for _, entry := range history {
		if fields, ok := entry.(map[string]any); ok {
			delete(fields, "created")
		}
	}
}

type configComparison struct{ list []Difference }

func (c *configComparison) compare(field string, a, b any) error {
	aObject, aIs := a.(map[string]any)
	bObject, bIs := b.(map[string]any)
	switch {
	case aIs && (bIs || b == nil), bIs && a == nil:
		return c.objects(field+".", aObject, bObject)
	case strings.EqualFold(field, "config.env"):
		return c.objects(field+" ", variables(a), variables(b))
	case strings.EqualFold(field, "history"), strings.EqualFold(field, "rootfs.diff_ids"):
		return c.lists(field, a, b)
	}
	return c.values(field, a, b)
}

func (c *configComparison) objects(prefix string, a, b map[string]any) error {
	prefix = strings.TrimPrefix(prefix, ".")
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := c.compare(prefix+name, a[name], b[name]); err != nil {
			return err
		}
	}
	return nil
}

// lists compares lists that grow at their ends.
func (c *configComparison) lists(field string, a, b any) error {
	as, _ := a.([]any)
	bs, _ := b.([]any)
	for i := range max(len(as), len(bs)) {
		var x, y any
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		if err := c.values(fmt.Sprintf("%s[%d]", field, i), x, y); err != nil {
			return err
		}
	}
	return nil
}

func (c *configComparison) values(field string, a, b any) error {
	from, err := rawValue(a)
	if err != nil {
		return err
	}
	to, err := rawValue(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(from, to) {
		c.list = append(c.list, Difference{Field: field, From: from, To: to})
	}
	return nil
}

func rawValue(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // Commands are full of && and >.
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("writing a field of an image config: %w", err)
	}
	return bytes.TrimSpace(text.Bytes()), nil
}

// variables are those of an environment by name; one that is set twice has its
// last value.
func variables(env any) map[string]any {
	list, _ := env.([]any)
	out := map[string]any{}
	for _, v := range list {
		s, _ := v.(string)
		name, value, _ := strings.Cut(s, "=")
		out[name] = value
	}
	return out
}
