package frontend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// squashPiece is the layers of an image above the first from of them, up to the first
// to.
type squashPiece struct {
	from, to int
	made     bool // they become one; otherwise it is one layer, which stays
	nothing  bool // they leave nothing
	lost     unwritten
	state    llb.State
}

// around squashes the layers above the kept ones. One that has what BuildKit cannot
// write stays as it is, and what is below and above it is squashed.
func (s *squashing) around(ctx context.Context, b *squashedImage) error {
	own, why, err := s.look(ctx, b)
	if err != nil {
		return err
	}
	if err := b.squashPieces(ctx, s.c, own, why); err != nil {
		return err
	}
	if slices.ContainsFunc(b.pieces, func(p squashPiece) bool { return p.lost.any() }) {
		// The tars do not say so: they could not be read, or it is of the base.
		seen, err := b.seen(ctx, s.c)
		if err != nil {
			return err
		}
		for n, u := range seen {
			if !why[n].any() {
				why[n] = u
			}
		}
		if err := b.squashPieces(ctx, s.c, own, why); err != nil {
			return err
		}
	}
	for _, n := range slices.Sorted(maps.Keys(why)) {
		b.remarks = append(b.remarks, fmt.Sprintf("layer %d is kept as it is: BuildKit cannot write %s", n, why[n]))
	}
	b.state = b.stacked()
	return nil
}

// look reads the image's own layers, while the builder gets the image, and says what of
// them BuildKit cannot write.
func (s *squashing) look(ctx context.Context, b *squashedImage) (own ownLayers, why map[int]unwritten, err error) {
	eg, egctx := errgroup.WithContext(ctx)
	eg.Go(func() error {
		def, err := marshal(egctx, b.first(len(b.image.config.RootFS.DiffIDs)))
		if err == nil {
			err = evaluate(egctx, s.c, def)
		}
		return err
	})
	var unread error
	eg.Go(func() error {
		own, unread = s.readLayers(egctx, b)
		return nil
	})
	if err := eg.Wait(); err != nil {
		return own, nil, err
	}
	if unread != nil {
		b.remarks = append(b.remarks, fmt.Sprintf("the layers could not be read (%s): of what builders do not show, hard links to files of the base in other directories and the mode and owner of the root directory, nothing is kept", unread))
		return ownLayers{}, map[int]unwritten{}, nil
	}
	return own, own.unwritten(), nil
}

// seen says of each of the image's own layers which extended attributes it has, or takes
// away, that BuildKit cannot write, by the layer's number.
func (b *squashedImage) seen(ctx context.Context, c gateway.Client) (map[int]unwritten, error) {
	has := len(b.image.config.RootFS.DiffIDs)
	found := make([]unwritten, has+1)
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(readsAtOnce)
	for n := b.kept + 1; n <= has; n++ {
		eg.Go(func() (err error) {
			found[n], err = b.seenIn(ctx, c, n)
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	why := map[int]unwritten{}
	for n, u := range found {
		if u.any() {
			why[n] = u
		}
	}
	return why, nil
}

// seenIn looks at one layer.
func (b *squashedImage) seenIn(ctx context.Context, c gateway.Client, n int) (unwritten, error) {
	below, with := b.first(n-1), b.first(n)
	added := with
	if n > 1 {
		added = llb.Diff(below, with, llb.WithCustomName(fmt.Sprintf("%slayer %d changes", layers.SquashLooked, n)))
	}
	refs, err := solveAll(ctx, c, []llb.State{below, with, added})
	if err != nil {
		return unwritten{}, err
	}
	diff, err := compareForSquash(ctx, refs[0], refs[1], refs[2], nil)
	return diff.lost, err
}

// piecesAround are the layers above the first kept ones in runs between those that
// cannot be squashed.
func piecesAround(kept, has int, why map[int]unwritten) (pieces []squashPiece) {
	squashable := func(n int) bool { return n <= has && !why[n].any() }
	for from := kept; from < has; {
		to := from + 1
		for squashable(from+1) && squashable(to+1) {
			to++
		}
		pieces = append(pieces, squashPiece{from: from, to: to, made: to-from > 1})
		from = to
	}
	return pieces
}

// squashPieces makes the pieces around the layers that cannot be squashed.
func (b *squashedImage) squashPieces(ctx context.Context, c gateway.Client, own ownLayers, why map[int]unwritten) error {
	b.pieces = piecesAround(b.kept, len(b.image.config.RootFS.DiffIDs), why)
	if !slices.ContainsFunc(b.pieces, func(p squashPiece) bool { return p.made }) {
		b.nothing = "no two layers beside each other can become one"
	}
	eg, ctx := errgroup.WithContext(ctx)
	for i := range b.pieces {
		p := &b.pieces[i]
		p.state = b.first(p.to)
		if !p.made {
			continue
		}
		eg.Go(func() error {
			one, err := squashOn(ctx, c, b.first(p.from), b.first(p.to), own.links(p.from, p.to), b.summary(p.from, p.to))
			p.state, p.nothing, p.lost = one.state, one.nothing, one.lost
			return err
		})
	}
	return eg.Wait()
}

// stacked is the image of its pieces.
func (b *squashedImage) stacked() llb.State {
	if b.nothing != "" {
		return b.first(len(b.image.config.RootFS.DiffIDs))
	}
	if len(b.pieces) == 1 {
		return b.pieces[0].state
	}
	bottom, above := b.first(b.kept), b.pieces
	if b.kept == 0 {
		bottom, above = above[0].state, above[1:]
	}
	var pieces []layers.Piece
	for _, p := range above {
		if !p.nothing {
			pieces = append(pieces, layers.Piece{Below: b.first(p.from), With: p.state})
		}
	}
	return layers.Pieces(bottom, pieces)
}

// parts are the pieces as the history has them.
func (b *squashedImage) parts(created *time.Time) []image.SquashPart {
	parts := make([]image.SquashPart, len(b.pieces))
	for i, p := range b.pieces {
		if !p.made {
			parts[i].Layer = p.to
			continue
		}
		parts[i].Entry = ocispecs.History{Created: created, CreatedBy: "squash " + b.summary(p.from, p.to), Comment: squashComment, EmptyLayer: p.nothing}
	}
	return parts
}

// leftNothing says which layers have left nothing.
func (b *squashedImage) leftNothing() (remarks []string) {
	for _, p := range b.pieces {
		if p.nothing {
			remarks = append(remarks, fmt.Sprintf("what layers %d to %d have done leaves nothing behind", p.from+1, p.to))
		}
	}
	return remarks
}
