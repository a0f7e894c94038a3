package changes

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Found says what a layer says of a path.
type Found int

// What a layer can say of a path.
const (
	Silent  Found = iota // the layers below decide
	Gone                 // nothing is there
	Present              // something is there; of a file the content was read
)

// ErrNoFile says that a path is something else than a file.
var ErrNoFile = errors.New("it is no file")

// ReadContent reads the content of the file at a path out of a layer's tar, of
// which it has at most limit bytes. A hard link is reported by the path that it
// is another name of.
func ReadContent(r io.Reader, name string, limit int64) (content []byte, link string, found Found, err error) {
	name = path.Clean("/" + name)
	err = readTar(r, func(at string, header *tar.Header, in io.Reader) error {
		gone, opaque, ok := whiteout(at)
		switch {
		case ok:
			if found == Silent && under(name, gone) && (!opaque || name != gone) {
				found = Gone
			}
		case at == name:
			found = Present
			content, link, err = readFile(header, in, limit)
			return err
		case under(name, at) && header.Typeflag != tar.TypeDir && found == Silent:
			found = Gone // What is a file now has nothing in it.
		}
		return nil
	})
	return content, link, found, err
}

func under(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

func readFile(header *tar.Header, in io.Reader, limit int64) (content []byte, link string, err error) {
	switch header.Typeflag {
	case tar.TypeLink:
		return nil, path.Clean("/" + header.Linkname), nil
	case tar.TypeReg:
		if header.Size > limit {
			return nil, "", fmt.Errorf("it has %d bytes, and no more than %d are compared", header.Size, limit)
		}
		content, err = io.ReadAll(in)
		return content, "", err
	case tar.TypeSymlink:
		return nil, "", fmt.Errorf("%w, but a link to %s", ErrNoFile, header.Linkname)
	default:
		return nil, "", ErrNoFile
	}
}
