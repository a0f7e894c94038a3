package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// ErrNotMounted says that a registry did not take over a blob from one of its
// repositories into another.
var ErrNotMounted = errors.New("the registry does not mount the blob")

// WithAccess notes in the context what is going to be read, and written, in one
// registry, so that one token is fetched for all of it.
func WithAccess(ctx context.Context, read, write []reference.Named) context.Context {
	for _, repo := range write {
		ctx = docker.WithScope(ctx, scope(repo, true))
	}
	for _, repo := range read {
		ctx = docker.WithScope(ctx, scope(repo, false))
	}
	return ctx
}

// Connect opens so many connections to the registry of a repository, while other
// things are done: requests that are sent at the same time need one each.
func (r *Images) Connect(ctx context.Context, repo reference.Named, n int) {
	hosts, err := r.wire.hostsOf(reference.Domain(repo))
	if err != nil {
		return // It comes again when something is asked.
	}
	host := hosts[len(hosts)-1]
	for range n {
		go func() {
			a := ask{method: http.MethodGet, repo: repo}
			if resp, err := r.wire.once(ctx, host, host.Scheme+"://"+host.Host+host.Path+"/", a); err == nil {
				_, _ = read(resp) // Whatever it says, the connection is there.
				resp.Body.Close()
			}
		}()
	}
}

// Mount makes a blob of one repository one of another's in the same registry. No
// content moves.
func (r *Images) Mount(ctx context.Context, into, from reference.Named, blob digest.Digest) error {
	query := url.Values{"mount": {blob.String()}, "from": {reference.Path(from)}}
	ctx = docker.WithScope(ctx, scope(from, false))
	got, err := r.wire.send(ctx, ask{method: http.MethodPost, repo: into, path: "blobs/uploads/?" + query.Encode(), write: true})
	if err != nil {
		return fmt.Errorf("mounting %s of %s in %s: %w", blob, from, into, err)
	}
	if got.status != http.StatusCreated {
		return fmt.Errorf("mounting %s of %s in %s: %w", blob, from, into, ErrNotMounted)
	}
	return nil
}

// uploads are begun before it is known what for: to begin one costs a round trip,
// which can be made while other things are read.
type uploads struct {
	mu    sync.Mutex
	begun map[string][]chan *answer // by repository; each gives one, nil on failure
}

func (u *uploads) take(repo string) chan *answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.begun[repo]
	if len(list) == 0 {
		return nil
	}
	u.begun[repo] = list[1:]
	return list[0]
}

// BeginUploads begins so many uploads in a repository, for PushBlob to go on with,
// and returns the function that ends those that were not needed.
func (r *Images) BeginUploads(ctx context.Context, into reference.Named, n int) (end func()) {
	for range n {
		begun := make(chan *answer, 1)
		go func() {
			got, err := r.beginUpload(ctx, into)
			if err != nil {
				got = nil // It is begun again when it is needed, and the error comes again.
			}
			begun <- got
		}()
		r.uploads.mu.Lock()
		r.uploads.begun[into.Name()] = append(r.uploads.begun[into.Name()], begun)
		r.uploads.mu.Unlock()
	}
	return func() {
		for begun := r.uploads.take(into.Name()); begun != nil; begun = r.uploads.take(into.Name()) {
			if got := <-begun; got != nil {
				_ = r.endUpload(context.WithoutCancel(ctx), into, got) // The registry forgets it some day.
			}
		}
	}
}

func (r *Images) beginUpload(ctx context.Context, into reference.Named) (*answer, error) {
	return r.wire.send(ctx, ask{method: http.MethodPost, repo: into, path: "blobs/uploads/", write: true})
}

// PushBlob writes a small blob into a repository.
func (r *Images) PushBlob(ctx context.Context, into reference.Named, content []byte) error {
	blob := digest.FromBytes(content)
	var begun *answer
	if early := r.uploads.take(into.Name()); early != nil {
		begun = <-early
	}
	var err error
	if begun == nil {
		begun, err = r.beginUpload(ctx, into)
	}
	if err == nil {
		err = r.finishUpload(ctx, into, begun, blob, content)
	}
	if err != nil {
		return fmt.Errorf("pushing %s to %s: %w", blob, into, err)
	}
	return nil
}

func (r *Images) finishUpload(ctx context.Context, into reference.Named, begun *answer, blob digest.Digest, content []byte) error {
	return r.toUpload(ctx, into, begun, url.Values{"digest": {blob.String()}}, ask{
		method: http.MethodPut, repo: into, body: content, write: true,
		header: map[string]string{"Content-Type": "application/octet-stream"},
	})
}

func (r *Images) endUpload(ctx context.Context, into reference.Named, begun *answer) error {
	return r.toUpload(ctx, into, begun, nil, ask{method: http.MethodDelete, repo: into, write: true})
}

// toUpload asks at the place that the registry has given an upload.
func (r *Images) toUpload(ctx context.Context, into reference.Named, begun *answer, query url.Values, a ask) error {
	location, err := begun.url.Parse(begun.header.Get("Location"))
	if err != nil {
		return fmt.Errorf("reading the place of the upload: %w", err)
	}
	all := location.Query()
	maps.Copy(all, query)
	location.RawQuery = all.Encode()
	hosts, err := r.wire.hostsOf(reference.Domain(into))
	if err != nil {
		return err
	}
	_, err = r.wire.sendTo(ctx, hosts[len(hosts)-1], location.String(), a)
	return err
}

// PushManifest writes a manifest or an index into a repository, under a tag or,
// with none, under its digest.
func (r *Images) PushManifest(ctx context.Context, into reference.Named, tag, mediaType string, content []byte) error {
	under := tag
	if under == "" {
		under = digest.FromBytes(content).String()
	}
	_, err := r.wire.send(ctx, ask{
		method: http.MethodPut, repo: into, path: "manifests/" + under, body: content, write: true,
		header: map[string]string{"Content-Type": mediaType},
	})
	if err != nil {
		return fmt.Errorf("pushing the manifest %s to %s: %w", under, into, err)
	}
	return nil
}
