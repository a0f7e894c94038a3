package commands

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/pmezard/go-difflib/difflib"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/changes"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
)

// maxContent is the most that is read of a file to compare it line by line.
const maxContent = 16 << 20

// errBelow says that a file's content is in layers that are not at hand.
var errBelow = errors.New("the file is in layers that both sides share")

// showContent prints how a text file differs. Layers that both sides share are
// asked for only when one side has the file from there.
func (d *diffRun) showContent(wanted string) error {
	err := d.inParts(wanted, d.printContent)
	if errors.Is(err, errBelow) {
		return d.inParts(frontend.DiffAllParts, d.printContent)
	}
	return err
}

func (d *diffRun) printContent(parts *diffParts) error {
	name := path.Clean("/" + d.content)
	var text bytes.Buffer
	for _, p := range parts.report.Platforms {
		if len(parts.report.Platforms) > 1 {
			fmt.Fprintf(&text, "%s:\n", p.Platform)
		}
		if err := parts.compareContent(&text, p, name); err != nil {
			return err
		}
	}
	out, done := d.pager()
	defer done()
	return errors.Join(paintDiff(out, text.String(), d.colours()), d.different(text.Len() > 0))
}

func (p *diffParts) compareContent(out io.Writer, platform frontend.DiffPlatform, name string) error {
	var sides [2][]byte
	var there [2]bool
	for i, role := range []string{frontend.LowerPart, frontend.UpperPart} {
		content, found, err := p.content(platform, role, name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		sides[i], there[i] = content, found
	}
	if !there[0] && !there[1] {
		return p.noSuchFile(platform, name)
	}
	if bytes.Equal(sides[0], sides[1]) && there[0] == there[1] {
		return nil
	}
	if bytes.IndexByte(sides[0], 0) >= 0 || bytes.IndexByte(sides[1], 0) >= 0 {
		_, err := fmt.Fprintf(out, "Binary files a%s and b%s differ\n", name, name)
		return err
	}
	names := [2]string{"a" + name, "b" + name}
	for i, has := range there {
		if !has {
			names[i] = os.DevNull
		}
	}
	return difflib.WriteUnifiedDiff(out, difflib.UnifiedDiff{
		A: lines(sides[0]), B: lines(sides[1]), FromFile: names[0], ToFile: names[1], Context: 3,
	})
}

// lines are those of a text, each with its end; the one of the last may be
// missing, which is a difference, too.
func lines(text []byte) []string {
	all := strings.SplitAfter(string(text), "\n")
	last := len(all) - 1
	if all[last] == "" {
		return all[:last]
	}
	all[last] += "\n\\ No newline at end of file\n"
	return all
}

func (p *diffParts) noSuchFile(platform frontend.DiffPlatform, name string) error {
	hint := ""
	if all, err := p.changes(func(int, int) {}); err == nil {
		var paths []string
		for _, one := range all {
			for _, c := range one.list {
				paths = append(paths, c.Path)
			}
		}
		if closest := image.Closest(name, paths); closest != "" {
			hint = fmt.Sprintf("Did you mean %s?", closest)
		}
	}
	return errdefs.Invalidf(hint, "neither %s nor %s has a file %s", platform.Lower.Name, platform.Upper.Name, name)
}

// content is the content of a side's file. found is false when there is no such
// file.
func (p *diffParts) content(platform frontend.DiffPlatform, role, name string) (content []byte, found bool, err error) {
	if p.report.Trees {
		return p.treeContent(platform, role, name)
	}
	images, err := p.images()
	if err != nil {
		return nil, false, err
	}
	var stack []v1.Layer
	below := platform.Shared
	for _, part := range []string{frontend.SharedPart, role} {
		for _, has := range platform.Parts {
			if has.Role != part {
				continue
			}
			layers, err := images[has.ID].Layers()
			if err != nil {
				return nil, false, err
			}
			stack = append(stack, layers...)
			below = below && part != frontend.SharedPart
		}
	}
	return stackContent(stack, below, name)
}

// stackContent asks the layers from the top.
func stackContent(stack []v1.Layer, below bool, name string) (content []byte, found bool, err error) {
	for i := len(stack) - 1; i >= 0; i-- {
		content, link, says, err := layerContent(stack[i], name)
		switch {
		case err != nil:
			return nil, false, err
		case link != "":
			return stackContent(stack[:i+1], below, link)
		case says == changes.Present:
			return content, true, nil
		case says == changes.Gone:
			return nil, false, nil
		}
	}
	if below {
		return nil, false, errBelow
	}
	return nil, false, nil
}

func layerContent(layer v1.Layer, name string) (content []byte, link string, says changes.Found, err error) {
	r, err := layer.Uncompressed()
	if err != nil {
		return nil, "", changes.Silent, err
	}
	defer r.Close()
	return changes.ReadContent(r, name, maxContent)
}

func (p *diffParts) treeContent(platform frontend.DiffPlatform, role, name string) (content []byte, found bool, err error) {
	for _, part := range platform.Parts {
		if part.Role != role {
			continue
		}
		file, err := os.Open(p.tar)
		if err != nil {
			return nil, false, err
		}
		defer file.Close()
		content, link, says, err := changes.ReadContent(file, path.Join("/", part.ID, name), maxContent)
		if link != "" {
			return p.treeContent(platform, role, strings.TrimPrefix(link, "/"+part.ID))
		}
		return content, says == changes.Present, err
	}
	return nil, false, nil
}

// paintDiff prints a unified diff.
func paintDiff(out io.Writer, text string, paint colours) error {
	w := bufio.NewWriter(out)
	for line := range strings.Lines(text) {
		kind := changes.Kind("")
		switch {
		case strings.HasPrefix(line, "+"):
			kind = changes.Added
		case strings.HasPrefix(line, "-"):
			kind = changes.Deleted
		case strings.HasPrefix(line, "@@"):
			kind = changes.Changed
		}
		fmt.Fprintln(w, paint.paint(kind, strings.TrimSuffix(line, "\n")))
	}
	return w.Flush()
}
