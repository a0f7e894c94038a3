package changes

import (
	"archive/tar"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// Contents is what a layer's tar has that builders do not show of a layer when they
// have unpacked it. Paths begin with a slash.
type Contents struct {
	// Attributes are the names of extended attributes, by path.
	Attributes map[string][]string
	// Fractions are the paths, but for directories, with times that are no whole
	// seconds.
	Fractions []string
	// Root says that there is an entry for the root directory, and OddRoot that it
	// is none that says what file systems have by themselves.
	Root, OddRoot bool
	// Links are the names of files that have names in more than one directory.
	Links [][]string

	names  map[string][]string // all names of files with more than one, by each
	is     map[string]byte     // the types of the entries
	gone   map[string]bool     // what a whiteout removes
	opaque map[string]bool     // directories of which nothing below shines through
}

// ReadContents reads an uncompressed tar.
func ReadContents(r io.Reader) (*Contents, error) {
	c := &Contents{Attributes: map[string][]string{}, names: map[string][]string{}, is: map[string]byte{}, gone: map[string]bool{}, opaque: map[string]bool{}}
	names := map[string][]string{} // of files with more than one, by the first
	err := readTar(r, func(name string, h *tar.Header, _ io.Reader) error {
		c.add(name, h)
		if h.Typeflag == tar.TypeLink {
			target := path.Clean("/" + h.Linkname)
			names[target] = append(names[target], name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.link(names)
	return c, nil
}

func (c *Contents) add(name string, h *tar.Header) {
	if gone, opaque, ok := whiteout(name); ok {
		if opaque {
			c.opaque[gone] = true
		} else {
			c.gone[gone] = true
		}
		return
	}
	if name == "/" {
		c.Root = true
		c.OddRoot = h.Mode&0o7777 != 0o755 || h.Uid != 0 || h.Gid != 0
	}
	c.is[name] = h.Typeflag
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if attribute, ok := strings.CutPrefix(key, xattrPrefix); ok {
			c.Attributes[name] = append(c.Attributes[name], attribute)
		}
	}
	if h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeLink && h.ModTime.Nanosecond() != 0 {
		c.Fractions = append(c.Fractions, name)
	}
}

// link finds the names of each file, a link to a link being one to the same file.
func (c *Contents) link(names map[string][]string) {
	first := map[string]string{}
	for target, more := range names {
		for _, name := range more {
			first[name] = target
		}
	}
	groups := map[string][]string{}
	for name, target := range first {
		for hops := 0; first[target] != "" && hops <= len(first); hops++ {
			target = first[target]
		}
		groups[target] = append(groups[target], name)
	}
	for _, target := range slices.Sorted(maps.Keys(groups)) {
		all := slices.Sorted(slices.Values(append(groups[target], target)))
		for _, name := range all {
			c.names[name] = all
		}
		if slices.ContainsFunc(all, func(name string) bool { return path.Dir(name) != path.Dir(all[0]) }) {
			c.Links = append(c.Links, all)
		}
	}
}

// Names are all names that the layer gives to the file of one.
func (c *Contents) Names(name string) []string {
	if all := c.names[name]; all != nil {
		return all
	}
	return []string{name}
}

// Hides says whether nothing of what layers below have at a path is there any more
// with this one.
func (c *Contents) Hides(name string) bool {
	if c.is[name] != 0 || c.gone[name] {
		return true
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if t := c.is[dir]; t != 0 && t != tar.TypeDir || c.gone[dir] || c.opaque[dir] {
			return true
		}
		if dir == "/" {
			return false
		}
	}
}
