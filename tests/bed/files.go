package bed

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// File is a path of a layer or of a build context. Without a type it is a
// regular file; Mode 0 is 0755 for a directory and 0644 for a file.
type File struct {
	Path     string
	Content  string
	Mode     int64
	UID, GID int
	// One of these says that it is no regular file.
	Dir               bool
	Symlink, Hardlink string
	Xattrs            map[string]string
	// ModTime is a fixed time in the past when not set.
	ModTime time.Time
}

// Dir is a directory.
func Dir(path string, mode int64) File { return File{Path: path, Dir: true, Mode: mode} }

// Link is a symbolic link.
func Link(path, target string) File { return File{Path: path, Symlink: target} }

// Text is a regular file.
func Text(path, content string) File { return File{Path: path, Content: content} }

// OwnedBy gives the file with another owner.
func (f File) OwnedBy(uid, gid int) File {
	f.UID, f.GID = uid, gid
	return f
}

// WithMode gives the file with other permissions.
func (f File) WithMode(mode int64) File {
	f.Mode = mode
	return f
}

var oldTime = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)

func (f File) modTime() time.Time {
	if f.ModTime.IsZero() {
		return oldTime
	}
	return f.ModTime
}

func (f File) mode() int64 {
	switch {
	case f.Mode != 0:
		return f.Mode
	case f.Symlink != "":
		return 0o777
	case f.Dir:
		return 0o755
	}
	return 0o644
}

// Tar makes an uncompressed tar of the files in the given order.
func Tar(files ...File) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, file := range files {
		if err := writer.WriteHeader(file.header()); err != nil {
			return nil, fmt.Errorf("writing %s: %w", file.Path, err)
		}
		if file.Symlink == "" && file.Hardlink == "" && !file.Dir {
			if _, err := writer.Write([]byte(file.Content)); err != nil {
				return nil, fmt.Errorf("writing %s: %w", file.Path, err)
			}
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("closing the tar: %w", err)
	}
	return buffer.Bytes(), nil
}

func (f File) header() *tar.Header {
	header := &tar.Header{
		Name: strings.TrimPrefix(f.Path, "/"), Mode: f.mode(), Uid: f.UID, Gid: f.GID,
		ModTime: f.modTime(), Format: tar.FormatPAX,
	}
	for _, name := range slices.Sorted(maps.Keys(f.Xattrs)) {
		if header.PAXRecords == nil {
			header.PAXRecords = map[string]string{}
		}
		header.PAXRecords[xattrPrefix+name] = f.Xattrs[name]
	}
	switch {
	case f.Dir:
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
	case f.Symlink != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, f.Symlink
	case f.Hardlink != "":
		header.Typeflag, header.Linkname = tar.TypeLink, strings.TrimPrefix(f.Hardlink, "/")
	default:
		header.Typeflag, header.Size = tar.TypeReg, int64(len(f.Content))
	}
	return header
}

// WriteFiles writes the files below dir, to be used as a build context.
// Directories that are not among them are made.
func WriteFiles(t testing.TB, dir string, files ...File) {
	t.Helper()
	for _, file := range files {
		if err := file.write(dir); err != nil {
			t.Fatalf("writing the context: %v", err)
		}
	}
	// Making an entry changes the time of its directory, so those come last.
	for _, file := range files {
		if file.Dir {
			if err := os.Chtimes(filepath.Join(dir, file.Path), file.modTime(), file.modTime()); err != nil {
				t.Fatalf("writing the context: %v", err)
			}
		}
	}
}

func (f File) write(dir string) error {
	path := filepath.Join(dir, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch {
	case f.Symlink != "":
		if err := os.Symlink(f.Symlink, path); err != nil {
			return err
		}
		return os.Lchown(path, f.UID, f.GID)
	case f.Hardlink != "":
		return os.Link(filepath.Join(dir, f.Hardlink), path)
	case f.Dir:
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	default:
		if err := os.WriteFile(path, []byte(f.Content), 0o644); err != nil {
			return err
		}
	}
	if err := os.Lchown(path, f.UID, f.GID); err != nil {
		return err
	}
	return f.attributes(path)
}

// attributes comes after the owner, whose change clears setuid and setgid; the
// mode is given by the system call because os.Chmod numbers those otherwise.
func (f File) attributes(path string) error {
	if err := syscall.Chmod(path, uint32(f.mode())); err != nil {
		return err
	}
	for name, value := range f.Xattrs {
		if err := syscall.Setxattr(path, name, []byte(value), 0); err != nil {
			return fmt.Errorf("setting %s of %s: %w", name, path, err)
		}
	}
	return os.Chtimes(path, f.modTime(), f.modTime())
}
