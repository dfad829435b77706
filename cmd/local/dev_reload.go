package main

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// reloadInterval is the time between two checks of the configuration's files.
const reloadInterval = time.Second

// configFiles maps the paths of a configuration's files to their state at the last
// check.
type configFiles map[string]fs.FileInfo

// refresh records the state of the files. It reports whether any has changed since the
// last call. A file that is missing for a moment, for example while an editor replaces
// it, has not changed.
func (f configFiles) refresh(o *options) (changed bool) {
	for _, name := range o.configFiles() {
		if now, err := os.Stat(name); err == nil && !isUnchanged(f[name], now) {
			f[name], changed = now, true
		}
	}
	return changed
}

// watch sends to changed after changes of the configuration's files, until ctx ends.
func (f configFiles) watch(ctx context.Context, o *options, changed chan<- os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reloadInterval):
		}
		if !f.refresh(o) {
			continue
		}
		select {
		case changed <- syscall.SIGHUP:
		case <-ctx.Done():
			return
		}
	}
}

// isUnchanged reports whether a file is the same as before.
func isUnchanged(before, now fs.FileInfo) bool {
	return before != nil && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}

// configFiles returns the paths of the configuration file and of the manifest that it
// names, if they exist. A config.Loader reads the same paths.
func (o *options) configFiles() (files []string) {
	location := cmp.Or(o.config, os.Getenv("SCOUT_CONFIG"))
	text, dir := []byte(location), ""
	if !strings.Contains(location, "\n") {
		info, err := os.Stat(location)
		if err != nil || !info.Mode().IsRegular() { // a pipe can be read only once
			return nil
		}
		if text, err = os.ReadFile(location); err != nil {
			return nil
		}
		files, dir = append(files, location), filepath.Dir(location)
	}
	var c struct{ Workers string }
	// An invalid configuration is reported when it is loaded.
	if err := yaml.Unmarshal(text, &c); err != nil || c.Workers == "" {
		return files
	}
	if !filepath.IsAbs(c.Workers) {
		c.Workers = filepath.Join(dir, c.Workers)
	}
	return append(files, c.Workers)
}
