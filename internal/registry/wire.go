package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/buildx/util/imagetools"
	buildxresolver "github.com/docker/buildx/util/resolver"
	"github.com/docker/buildx/util/resolver/auth"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/docker-relink/relink/internal/version"
)

// wire asks registries, with buildx's credentials and configuration. Unlike
// buildx's resolver it asks for what it wants at once, and keeps its connections:
// a registry that is far away is asked as few times after one another as can be.
type wire struct {
	hosts      docker.RegistryHosts
	configured map[string]buildxresolver.RegistryConfig
	auth       docker.Authorizer
	provider   authprovider.AuthConfigProvider
	client     *http.Client

	mu     sync.Mutex
	known  map[string][]docker.RegistryHost // by the name that references have
	tokens map[string]string                // of the configuration, by host
}

// manyConnections is how many connections to one host are kept: requests that are
// sent at the same time each need one of their own, where the host has no HTTP/2.
const manyConnections = 32

func newWire(opt imagetools.Opt) *wire {
	transport := http.DefaultTransport
	if t, ok := transport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConnsPerHost = manyConnections
		transport = t
	}
	client := &http.Client{Transport: transport}
	return &wire{
		hosts:      buildxresolver.NewRegistryConfig(opt.RegistryConfig),
		configured: opt.RegistryConfig,
		auth:       auth.NewDockerAuthorizer(auth.WithAuthProvider(opt.Auth), auth.WithAuthClient(client)),
		provider:   opt.Auth,
		client:     client,
		known:      map[string][]docker.RegistryHost{},
		tokens:     map[string]string{},
	}
}

// ask is one request about a repository.
type ask struct {
	method string
	repo   reference.Named
	path   string // what comes after the repository's name
	header map[string]string
	body   []byte
	write  bool // the registry itself has to be asked, not a mirror
}

// answer is what came of it.
type answer struct {
	status int
	header http.Header
	url    *url.URL // that answered in the end
	body   []byte
}

// maxAnswer bounds what is read of one answer.
const maxAnswer = 32 << 20

// send asks the first host that answers for the repository, mirrors included.
func (w *wire) send(ctx context.Context, a ask) (got *answer, err error) {
	err = w.tryHosts(a, func(host docker.RegistryHost, to string) error {
		got, err = w.sendTo(ctx, host, to, a)
		return err
	})
	return got, err
}

// open is send for what is too large to be kept.
func (w *wire) open(ctx context.Context, a ask) (body io.ReadCloser, err error) {
	err = w.tryHosts(a, func(host docker.RegistryHost, to string) error {
		resp, err := w.request(ctx, host, to, a)
		if err != nil {
			return err
		}
		if resp.StatusCode < http.StatusBadRequest {
			body = resp.Body
			return nil
		}
		defer resp.Body.Close()
		_, err = read(resp)
		return err
	})
	return body, err
}

// tryHosts does something with one host after the other, until it succeeds.
func (w *wire) tryHosts(a ask, try func(host docker.RegistryHost, to string) error) error {
	domain := reference.Domain(a.repo)
	hosts, err := w.hostsOf(domain)
	if err != nil {
		return err
	}
	need := docker.HostCapabilityPull
	if a.write {
		need = docker.HostCapabilityPush
	}
	err = fmt.Errorf("no host of %s is configured for this", domain)
	for _, host := range hosts {
		if !host.Capabilities.Has(need) {
			continue
		}
		to := host.Scheme + "://" + host.Host + host.Path + "/" + reference.Path(a.repo) + "/" + a.path
		if err = try(host, to); err == nil {
			return nil
		}
	}
	return err
}

func (w *wire) hostsOf(domain string) ([]docker.RegistryHost, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if hosts, ok := w.known[domain]; ok {
		return hosts, nil
	}
	hosts, err := w.hosts(domain)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of %s: %w", domain, err)
	}
	if _, ok := w.configured[domain]; !ok {
		for i := range hosts {
			hosts[i].Client = w.client
		}
	}
	w.known[domain] = hosts
	return hosts, nil
}

// sendTo asks one host. A status that is no success is an error.
func (w *wire) sendTo(ctx context.Context, host docker.RegistryHost, to string, a ask) (*answer, error) {
	resp, err := w.request(ctx, host, to, a)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return read(resp)
}

// request asks one host, and once more with what it wants to know of the user.
func (w *wire) request(ctx context.Context, host docker.RegistryHost, to string, a ask) (*http.Response, error) {
	ctx = docker.WithScope(ctx, scope(a.repo, a.write))
	resp, err := w.once(ctx, host, to, a)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !w.identify(ctx, resp) {
		return resp, err
	}
	resp.Body.Close()
	return w.once(ctx, host, to, a)
}

// scope is what a token has to allow for a request.
func scope(repo reference.Named, write bool) string {
	s := "repository:" + reference.Path(repo) + ":pull"
	if write {
		s += ",push"
	}
	return s
}

func (w *wire) once(ctx context.Context, host docker.RegistryHost, to string, a ask) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, a.method, to, bytes.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "docker-relink/"+version.Version)
	for name, value := range a.header {
		req.Header.Set(name, value)
	}
	if token := w.token(req.URL.Host); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	} else if err := w.auth.Authorize(ctx, req); err != nil {
		return nil, err
	}
	return host.Client.Do(req)
}

func (w *wire) token(host string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tokens[host]
}

// identify finds out how the user is known to a host that refused, and says
// whether it is worth asking again.
func (w *wire) identify(ctx context.Context, refused *http.Response) bool {
	if w.provider == nil {
		return false
	}
	host := refused.Request.URL.Host
	if config, err := w.provider(ctx, host, nil, nil); err == nil && config.RegistryToken != "" {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tokens[host] = config.RegistryToken
		return true
	}
	return w.auth.AddResponses(ctx, []*http.Response{refused}) == nil
}

func read(resp *http.Response) (*answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("%s: the answer is too large", resp.Request.URL.Redacted())
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, statusError(resp, body)
	}
	return &answer{resp.StatusCode, resp.Header, resp.Request.URL, body}, nil
}

// statusError has the registry's own words, where it has any.
func statusError(resp *http.Response, body []byte) error {
	var said struct {
		Errors []struct{ Code, Message string }
	}
	text := resp.Status
	if err := json.Unmarshal(body, &said); err == nil && len(said.Errors) > 0 {
		text += ": " + strings.TrimSpace(said.Errors[0].Code+" "+said.Errors[0].Message)
	}
	err := errors.New(text)
	if resp.StatusCode == http.StatusNotFound {
		err = fmt.Errorf("%s: %w", text, cerrdefs.ErrNotFound)
	}
	return fmt.Errorf("%s %s: %w", resp.Request.Method, resp.Request.URL.Redacted(), err)
}
