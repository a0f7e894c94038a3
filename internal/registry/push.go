package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

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

// PushBlob writes a small blob into a repository.
func (r *Images) PushBlob(ctx context.Context, into reference.Named, content []byte) error {
	blob := digest.FromBytes(content)
	begun, err := r.wire.send(ctx, ask{method: http.MethodPost, repo: into, path: "blobs/uploads/", write: true})
	if err == nil {
		err = r.finishUpload(ctx, into, begun, blob, content)
	}
	if err != nil {
		return fmt.Errorf("pushing %s to %s: %w", blob, into, err)
	}
	return nil
}

// finishUpload sends the blob to the place that the registry has given the upload.
func (r *Images) finishUpload(ctx context.Context, into reference.Named, begun *answer, blob digest.Digest, content []byte) error {
	location, err := begun.url.Parse(begun.header.Get("Location"))
	if err != nil {
		return fmt.Errorf("reading the place of the upload: %w", err)
	}
	query := location.Query()
	query.Set("digest", blob.String())
	location.RawQuery = query.Encode()
	hosts, err := r.wire.hostsOf(reference.Domain(into))
	if err != nil {
		return err
	}
	_, err = r.wire.sendTo(ctx, hosts[len(hosts)-1], location.String(), ask{
		method: http.MethodPut, repo: into, body: content, write: true,
		header: map[string]string{"Content-Type": "application/octet-stream"},
	})
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
