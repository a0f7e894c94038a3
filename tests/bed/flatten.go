package bed

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
	"time"
)

// Entry is one path of a flattened tree.
type Entry struct {
	// Type is "file", "dir", "symlink", "char", "block" or "fifo".
	Type string
	// Mode has the permissions and the setuid, setgid and sticky bits, as
	// stat(2) numbers them.
	Mode     int64
	UID, GID int
	Size     int64
	SHA256   string
	Linkname string
	// HardlinkGroup is the first path of those that share the file; empty
	// when there is only one.
	HardlinkGroup string
	Xattrs        map[string]string
	ModTime       time.Time
	Dev           string
}

// Tree is a flattened file system by absolute path; the root is "/".
type Tree map[string]Entry

const (
	whiteoutPrefix = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
	xattrPrefix    = "SCHILY.xattr."
)

// flattener applies layers to a tree, by the rules of the OCI image
// specification.
type flattener struct {
	// A hard link is the same *Entry under two paths.
	entries   map[string]*Entry
	anomalies []string
}

// flatten applies the layers, the lowest first, to an empty tree. Anomalies
// are what a reader may take one way or another, and so what no good image has.
func flatten(layers ...[]layerEntry) (Tree, []string, error) {
	f := &flattener{entries: map[string]*Entry{"/": {Type: "dir", Mode: 0o755}}}
	for i, layer := range layers {
		if err := f.apply(layer); err != nil {
			return nil, nil, fmt.Errorf("applying layer %d: %w", i, err)
		}
	}
	return f.tree(), f.anomalies, nil
}

// layerEntry is an entry of a layer's tar, with the checksum of its content.
type layerEntry struct {
	path   string
	header *tar.Header
	sum    string
}

// readLayer reads an uncompressed tar.
func readLayer(layer io.Reader) ([]layerEntry, error) {
	var entries []layerEntry
	reader := tar.NewReader(layer)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the tar: %w", err)
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, reader); err != nil {
			return nil, fmt.Errorf("reading %s: %w", header.Name, err)
		}
		entries = append(entries, layerEntry{path.Clean("/" + header.Name), header, fmt.Sprintf("%x", hash.Sum(nil))})
	}
}

// apply takes the whiteouts first, because a whiteout speaks of the layers
// below it only, wherever in its own layer it stands.
func (f *flattener) apply(layer []layerEntry) error {
	var added []layerEntry
	for _, entry := range layer {
		dir, base := path.Split(entry.path)
		switch {
		case base == opaqueWhiteout:
			f.removeBelow(path.Clean(dir))
		case strings.HasPrefix(base, whiteoutPrefix):
			f.remove(path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix)))
		default:
			added = append(added, entry)
		}
	}
	for _, entry := range added {
		if err := f.add(entry); err != nil {
			return err
		}
	}
	return nil
}

func (f *flattener) add(e layerEntry) error {
	f.addParents(e.path)
	entry, err := f.entry(e)
	if err != nil {
		return err
	}
	if old, ok := f.entries[e.path]; ok && (old.Type != "dir" || entry.Type != "dir") {
		f.remove(e.path)
	}
	f.entries[e.path] = entry
	return nil
}

func (f *flattener) entry(e layerEntry) (*Entry, error) {
	if e.header.Typeflag == tar.TypeLink {
		target, ok := f.entries[path.Clean("/"+e.header.Linkname)]
		if !ok {
			return nil, fmt.Errorf("%s is a hard link to %s, which is not there", e.path, e.header.Linkname)
		}
		return target, nil
	}
	entry := &Entry{
		Mode:    e.header.Mode & 0o7777,
		UID:     e.header.Uid,
		GID:     e.header.Gid,
		ModTime: e.header.ModTime.UTC(),
	}
	for key, value := range e.header.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrPrefix); ok {
			if entry.Xattrs == nil {
				entry.Xattrs = map[string]string{}
			}
			entry.Xattrs[name] = value
		}
	}
	switch e.header.Typeflag {
	case tar.TypeReg:
		entry.Type, entry.Size, entry.SHA256 = "file", e.header.Size, e.sum
	case tar.TypeDir:
		entry.Type = "dir"
	case tar.TypeSymlink:
		entry.Type, entry.Linkname = "symlink", e.header.Linkname
	case tar.TypeChar:
		entry.Type, entry.Dev = "char", fmt.Sprintf("%d:%d", e.header.Devmajor, e.header.Devminor)
	case tar.TypeBlock:
		entry.Type, entry.Dev = "block", fmt.Sprintf("%d:%d", e.header.Devmajor, e.header.Devminor)
	case tar.TypeFifo:
		entry.Type = "fifo"
	default:
		return nil, fmt.Errorf("%s is of unknown type %q", e.path, e.header.Typeflag)
	}
	return entry, nil
}

// addParents makes the directories above a path that no layer has. One that a
// layer has as something else is an anomaly: whether the path goes through a
// symlink or replaces it is not for the image to leave open.
func (f *flattener) addParents(name string) {
	dir := path.Dir(name)
	if dir == name {
		return
	}
	parent, ok := f.entries[dir]
	if ok && parent.Type == "dir" {
		return
	}
	f.addParents(dir)
	if ok {
		f.anomalies = append(f.anomalies, fmt.Sprintf("%s: its parent is a %s in the layers below", name, parent.Type))
		f.remove(dir)
	}
	f.entries[dir] = &Entry{Type: "dir", Mode: 0o755}
}

func (f *flattener) remove(name string) {
	delete(f.entries, name)
	f.removeBelow(name)
}

func (f *flattener) removeBelow(dir string) {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	for name := range f.entries {
		if strings.HasPrefix(name, prefix) && name != dir {
			delete(f.entries, name)
		}
	}
}

// tree names the groups of hard links.
func (f *flattener) tree() Tree {
	names := make([]string, 0, len(f.entries))
	for name := range f.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	first := map[*Entry]string{}
	shared := map[*Entry]bool{}
	for _, name := range names {
		if _, ok := first[f.entries[name]]; ok {
			shared[f.entries[name]] = true
			continue
		}
		first[f.entries[name]] = name
	}
	tree := make(Tree, len(names))
	for _, name := range names {
		entry := *f.entries[name]
		if shared[f.entries[name]] {
			entry.HardlinkGroup = first[f.entries[name]]
		}
		tree[name] = entry
	}
	return tree
}

// String shows an entry as one line, for messages.
func (e Entry) String() string {
	s := fmt.Sprintf("%s %04o %d:%d", e.Type, e.Mode, e.UID, e.GID)
	switch e.Type {
	case "file":
		s += fmt.Sprintf(" %d bytes %.12s", e.Size, e.SHA256)
	case "symlink":
		s += " -> " + e.Linkname
	}
	return s
}
