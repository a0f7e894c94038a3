//go:build !no_embedded

package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"github.com/docker-relink/relink/internal/errdefs"
)

// idKind is users or groups, and how their subordinate IDs are given out.
type idKind struct {
	program, file string
	own           int
}

func idKinds() []idKind {
	return []idKind{
		{program: "newuidmap", file: "/etc/subuid", own: os.Getuid()},
		{program: "newgidmap", file: "/etc/subgid", own: os.Getgid()},
	}
}

// idRange is a range of subordinate IDs.
type idRange struct{ first, count int }

// subordinates is how many IDs the users of most images need.
const subordinates = 65536

// ranges are the user's, by name or number.
func (k idKind) ranges() ([]idRange, error) {
	name, uid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getuid())
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	data, err := os.ReadFile(k.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading subordinate IDs: %w", err)
	}
	var found []idRange
	next := 100000
	for line := range strings.Lines(string(data)) {
		owner, r, ok := parseRange(line)
		if !ok {
			continue
		}
		next = max(next, r.first+r.count)
		if owner == name || owner == uid {
			found = append(found, r)
		}
	}
	if len(found) == 0 {
		return nil, errdefs.Unsupportedf(
			fmt.Sprintf("Ask root to add the line %s:%d:%d to /etc/subuid and to /etc/subgid, or name another builder with --builder.", name, next, subordinates),
			"the embedded builder cannot unpack layers: %s has no IDs in %s", name, k.file)
	}
	return found, nil
}

func parseRange(line string) (owner string, r idRange, ok bool) {
	fields := strings.Split(strings.TrimSpace(line), ":")
	if len(fields) != 3 {
		return "", idRange{}, false
	}
	first, err1 := strconv.Atoi(fields[1])
	count, err2 := strconv.Atoi(fields[2])
	return fields[0], idRange{first: first, count: count}, err1 == nil && err2 == nil && count > 0
}

// findMode says how a daemon could have the privileges that it needs, by what
// can be seen without trying.
func findMode() (Mode, error) {
	if os.Geteuid() == 0 {
		return ModeRoot, nil
	}
	for _, kind := range idKinds() {
		if _, err := exec.LookPath(kind.program); err != nil {
			return ModeNone, errdefs.Unsupportedf("Install uidmap (Debian: apt-get install uidmap), or name another builder with --builder.",
				"the embedded builder cannot unpack layers: %s is not installed", kind.program)
		}
		if _, err := kind.ranges(); err != nil {
			return ModeNone, err
		}
	}
	return ModeUser, nil
}
