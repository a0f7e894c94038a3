package layers

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// tarWriter writes what is no regular file into a tar.
type tarWriter struct{ *tar.Writer }

func newTarWriter(w io.Writer) tarWriter { return tarWriter{tar.NewWriter(w)} }

// The bits of a mode as tar numbers them.
const (
	setuid = 0o4000
	setgid = 0o2000
	sticky = 0o1000
)

func (w tarWriter) write(n Node) error {
	h := &tar.Header{
		Typeflag: tar.TypeBlock, Name: strings.TrimPrefix(n.Path, "/"), Mode: int64(n.Mode.Perm()),
		Uid: n.UID, Gid: n.GID, ModTime: n.ModTime, Devmajor: n.Major, Devminor: n.Minor,
		Format: tar.FormatPAX, PAXRecords: map[string]string{},
	}
	if n.Mode.IsDir() {
		h.Typeflag, h.Name, h.Devmajor, h.Devminor = tar.TypeDir, h.Name+"/", 0, 0
	}
	for bit, value := range map[fs.FileMode]int64{fs.ModeSetuid: setuid, fs.ModeSetgid: setgid, fs.ModeSticky: sticky} {
		if n.Mode&bit != 0 {
			h.Mode |= value
		}
	}
	for name, value := range n.Xattrs {
		h.PAXRecords["SCHILY.xattr."+name] = string(value)
	}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("writing %s: %w", n.Path, err)
	}
	return nil
}
