//go:build !no_embedded

package embedded

// Mode is how a daemon comes to its privileges.
type Mode string

const (
	// ModeRoot is root.
	ModeRoot Mode = "root"
	// ModeUser is a user with a range of subordinate IDs, root in a namespace.
	ModeUser Mode = "newuidmap"
	// ModeNone is none: only the engine in the process of the command.
	ModeNone Mode = "in process"
)

// Ability is something that the builder can or cannot do on this machine.
type Ability struct {
	What string
	// Err is why not, nil when it can.
	Err error
}

func abilities(unpack, run error) []Ability {
	return []Ability{
		{What: "rebase, without unpacking"},
		{What: "unpack layers: build, bake, copies", Err: unpack},
		{What: "run commands: RUN, frontends that are images", Err: run},
	}
}
