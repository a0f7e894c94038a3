package frontend

import (
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageJob is a request about an image that there is, such as a rebase or a
// squash: the request, the image, and the ways to the image's base.
type imageJob struct {
	*Frontend
	c        gateway.Client
	opts     map[string]string
	o        rebaseOptions
	resolver *resolver
	image    *named
	base     baseWords
	// likely is the name of the image's base where only its digest is told, "" for
	// none.
	likely string
}

// baseWords are the words in which the user of a request speaks of the image's
// base.
type baseWords struct {
	context string // the build context that names it
	flag    string // the flag that names it
	found   Found  // how it was found when the user named it
	number  string // what to do when it is gone
}

var (
	rebaseWords = baseWords{
		context: FromContext, flag: "--from", found: FoundFrom,
		number: "--force-layers N takes the first N layers of the image for its.",
	}
	squashWords = baseWords{
		context: BaseContext, flag: "--base", found: FoundNamed,
		number: "--from-layer N squashes the image's layers from the Nth on, whatever its base is; --all squashes all of them.",
	}
)

// standing is an image for one platform, and the base that it stands on as far as
// that is known.
type standing struct {
	platform   ocispecs.Platform
	image, old *imageOn // old is nil when the base is gone
	oldLayers  int
	found      Found
	remarks    []string // about what was found on the way to the base and not used
	tried      []string // the ways to the base that led nowhere
	recorded   int      // the base's layers by the provenance, 0 where it does not say
	claimed    []string // repositories of bases that the image names
}
