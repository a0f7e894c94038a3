//go:build !no_embedded

package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/docker/buildx/util/confutil"
	"github.com/moby/buildkit/cmd/buildkitd/config"

	"github.com/docker-relink/relink/internal/version"
)

// Settings are what a builder is made with besides its place.
type Settings struct {
	// Config is buildx's buildkitd.default.toml, "" when there is none.
	Config string
	// Files are that file and the certificates that it names, as buildx keeps
	// them with a builder.
	Files map[string][]byte
	// Stay asks for a daemon that does not leave by itself.
	Stay bool
}

// loadConfig reads a buildkitd.toml; "" is one that says nothing.
func loadConfig(file string) (config.Config, error) {
	if file == "" {
		return config.Config{}, nil
	}
	cfg, err := config.LoadFile(file)
	if err != nil {
		return config.Config{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return cfg, nil
}

// ReadSettings reads the settings that buildx gives to the builders it makes.
func ReadSettings(buildx *confutil.Config) (Settings, error) {
	file, ok := buildx.BuildKitConfigFile()
	if !ok {
		return Settings{}, nil
	}
	files, err := confutil.LoadConfigFiles(file)
	if err != nil {
		return Settings{}, fmt.Errorf("reading the settings of builders: %w", err)
	}
	return Settings{Config: file, Files: files}, nil
}

// sum tells settings apart, so that a daemon with others is replaced.
func (s Settings) sum() string {
	if len(s.Files) == 0 {
		return ""
	}
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		_, _ = io.WriteString(hash, name+"\x00") // A hash takes everything.
		_, _ = hash.Write(s.Files[name])
		_, _ = hash.Write([]byte{0})
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// order is what a child is told to do.
type order struct {
	Place   Place
	Config  string
	Sum     string
	Mode    Mode
	Idle    time.Duration
	Stay    bool
	Version string
	// PID is the child's process ID as the user sees it; it is the first one of
	// a namespace of its own.
	PID int
}

func thisVersion() string { return version.Version + " " + version.Revision }
