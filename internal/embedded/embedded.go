//go:build !no_embedded

// Package embedded is the builder that the plugin brings along: BuildKit linked
// into this program, for machines where no Docker Engine and no builder is.
//
// It has two forms under one name. What never unpacks a layer is done in this
// process, by an engine whose state lasts for one command. Everything else is
// done by a child: the same program, run again as a daemon that listens on a
// private socket and leaves when nobody has used it for a while.
package embedded

import (
	"os"
	"slices"
	"time"

	"github.com/docker-relink/relink/internal/errdefs"
)

// Name is what --builder takes, and the name of the driver.
const Name = "embedded"

// The environment variables that steer the embedded builder.
const (
	// SwitchVar is "never" where the embedded builder is not wanted.
	SwitchVar = "RELINK_EMBEDDED"
	// DirVar is the folder that the builder lives in.
	DirVar = "RELINK_EMBEDDED_DIR"
	// IdleVar is how long the daemon stays when nobody uses it.
	IdleVar = "RELINK_EMBEDDED_IDLE"
)

// idle is how long the daemon stays by itself.
const idle = 5 * time.Minute

// Off says whether the user switched the embedded builder off.
func Off() (bool, error) {
	switch value := os.Getenv(SwitchVar); value {
	case "", "auto":
		return false, nil
	case "never":
		return true, nil
	default:
		return false, errdefs.Invalidf("Use auto or never.", "invalid value %q of %s", value, SwitchVar)
	}
}

// idleTime is how long a daemon that is started now stays when nobody uses it:
// in a CI job, whose end waits for every process, not at all.
func idleTime() (time.Duration, error) {
	if value := os.Getenv(IdleVar); value != "" {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return 0, errdefs.Invalidf("Use a time such as 5m or 0s.", "invalid value %q of %s", value, IdleVar)
		}
		return d, nil
	}
	if !slices.Contains([]string{"", "0", "false"}, os.Getenv("CI")) {
		return 0, nil
	}
	return idle, nil
}
