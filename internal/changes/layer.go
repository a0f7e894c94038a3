// Package changes says how two file systems differ, given the layers that they
// are made of, and what of a layer its tar alone says. It is pure: layers are read from
// where the caller says, as tars.
//
// What two file systems have in common below their own layers need not be there.
// Then it is known of a path that only one of them has in its own layers what it
// is there, and not whether the other has it from below; see Tree.
package changes

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
)

// Type is what a path is.
type Type string

// The types of paths.
const (
	File    Type = "file"
	Dir     Type = "dir"
	Symlink Type = "symlink"
	Char    Type = "char"
	Block   Type = "block"
	FIFO    Type = "fifo"
)

// Entry is what stands at a path. Two entries are equal when nobody who reads the
// file system can tell them apart, but for times.
type Entry struct {
	Type     Type
	Mode     int64 // the permissions, with setuid, setgid and the sticky bit
	UID, GID int
	Size     int64  // of a file, in bytes
	Sum      string // of a file's content
	Link     string // the target of a symbolic link
	Major    int64  // of a device
	Minor    int64
	Xattrs   map[string]string
}

// Layer is what a layer does to the file systems below it, in the layer's order.
type Layer []layerEntry

// layerEntry has fields that gob can write.
type layerEntry struct {
	Path string
	// Entry is nil for a hard link, a whiteout and an opaque directory.
	Entry    *Entry
	Hardlink string // the path that has the file, too
	Whiteout bool   // what is at the path below is gone
	Opaque   bool   // what is in the directory below is gone
}

// Encode writes a layer's entries, for DecodeLayer.
func (l Layer) Encode(w io.Writer) error {
	if err := gob.NewEncoder(w).Encode(l); err != nil {
		return fmt.Errorf("writing a list of a layer's paths: %w", err)
	}
	return nil
}

// DecodeLayer reads what Encode wrote.
func DecodeLayer(r io.Reader) (Layer, error) {
	var l Layer
	if err := gob.NewDecoder(r).Decode(&l); err != nil {
		return nil, fmt.Errorf("reading a list of a layer's paths: %w", err)
	}
	return l, nil
}

const (
	whiteoutPrefix = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
	xattrPrefix    = "SCHILY.xattr."
)

// ReadLayer reads an uncompressed tar as a layer, and hashes the contents of
// files. Nothing but the entries is kept in memory.
func ReadLayer(r io.Reader) (Layer, error) {
	var layer Layer
	err := readTar(r, func(name string, header *tar.Header, content io.Reader) error {
		e, err := readEntry(name, header, content)
		if err == nil {
			layer = append(layer, e)
		}
		return err
	})
	return layer, err
}

// ReadTrees reads an uncompressed tar with a whole file system in each directory
// of its root, as a layer each by the directory's name. Nothing in it is a
// whiteout, whatever its name is.
func ReadTrees(r io.Reader) (map[string]Layer, error) {
	trees := map[string]Layer{}
	err := readTar(r, func(name string, header *tar.Header, content io.Reader) error {
		tree, below, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		if tree == "" {
			return nil
		}
		e := layerEntry{Path: path.Clean("/" + below)}
		if header.Typeflag == tar.TypeLink {
			_, target, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+header.Linkname), "/"), "/")
			e.Hardlink = path.Clean("/" + target)
		} else if err := e.fill(header, content); err != nil {
			return err
		}
		trees[tree] = append(trees[tree], e)
		return nil
	})
	return trees, err
}

func readTar(r io.Reader, add func(name string, header *tar.Header, content io.Reader) error) error {
	for in := tar.NewReader(r); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a layer: %w", err)
		}
		name := path.Clean("/" + header.Name)
		if err := add(name, header, in); err != nil {
			return fmt.Errorf("reading %s of a layer: %w", name, err)
		}
	}
}

// whiteout says what of the layers below an entry of this name takes away (OCI image
// specification, layer.md): a path, or where it is opaque all that is in a directory.
func whiteout(name string) (gone string, opaque, ok bool) {
	dir, base := path.Split(name)
	if base == opaqueWhiteout {
		return path.Clean(dir), true, true
	}
	removed, ok := strings.CutPrefix(base, whiteoutPrefix)
	return path.Join(dir, removed), false, ok
}

func readEntry(name string, header *tar.Header, content io.Reader) (layerEntry, error) {
	if gone, opaque, ok := whiteout(name); ok {
		return layerEntry{Path: gone, Opaque: opaque, Whiteout: !opaque}, nil
	}
	if header.Typeflag == tar.TypeLink {
		return layerEntry{Path: name, Hardlink: path.Clean("/" + header.Linkname)}, nil
	}
	e := layerEntry{Path: name}
	return e, e.fill(header, content)
}

// fill makes the entry that a header describes.
func (l *layerEntry) fill(header *tar.Header, content io.Reader) error {
	e := &Entry{Mode: header.Mode & 0o7777, UID: header.Uid, GID: header.Gid}
	for key, value := range header.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrPrefix); ok {
			if e.Xattrs == nil {
				e.Xattrs = map[string]string{}
			}
			e.Xattrs[name] = value
		}
	}
	switch header.Typeflag {
	case tar.TypeReg:
		sum := sha256.New()
		size, err := io.Copy(sum, content)
		if err != nil {
			return err
		}
		e.Type, e.Size, e.Sum = File, size, hex.EncodeToString(sum.Sum(nil))
	case tar.TypeDir:
		e.Type = Dir
	case tar.TypeSymlink:
		e.Type, e.Link = Symlink, header.Linkname
	case tar.TypeChar:
		e.Type, e.Major, e.Minor = Char, header.Devmajor, header.Devminor
	case tar.TypeBlock:
		e.Type, e.Major, e.Minor = Block, header.Devmajor, header.Devminor
	case tar.TypeFifo:
		e.Type = FIFO
	default:
		return fmt.Errorf("its type %q is not known", header.Typeflag)
	}
	l.Entry = e
	return nil
}

// What says what of a path is another than before.
type What string

// What can be another.
const (
	WhatType    What = "type"
	WhatContent What = "content"
	WhatLink    What = "link"
	WhatDevice  What = "device"
	WhatMode    What = "mode"
	WhatOwner   What = "owner"
	WhatXattrs  What = "xattrs"
)

// differs lists what is another in b than in a.
func differs(a, b *Entry) []What {
	var what []What
	for _, d := range []struct {
		what    What
		differs bool
	}{
		{WhatType, a.Type != b.Type},
		{WhatContent, a.Type == b.Type && (a.Sum != b.Sum || a.Size != b.Size)},
		{WhatLink, a.Type == b.Type && a.Link != b.Link},
		{WhatDevice, a.Type == b.Type && (a.Major != b.Major || a.Minor != b.Minor)},
		// The mode of a symbolic link means nothing, and tools write what they like.
		{WhatMode, a.Mode != b.Mode && a.Type != Symlink && b.Type != Symlink},
		{WhatOwner, a.UID != b.UID || a.GID != b.GID},
		{WhatXattrs, !maps.Equal(a.Xattrs, b.Xattrs)},
	} {
		if d.differs {
			what = append(what, d.what)
		}
	}
	return what
}
