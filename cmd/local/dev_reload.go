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

// reloadInterval is the time between two looks at the files of the configuration.
const reloadInterval = time.Second

// configFiles are the files of a configuration, as they were when they were last looked
// at.
type configFiles map[string]fs.FileInfo

// look reports whether files of the configuration have changed since the last call. A
// file that is missing for a moment, as while an editor replaces it, has not changed.
func (f configFiles) look(o *options) (changed bool) {
	for _, name := range o.configFiles() {
		if now, err := os.Stat(name); err == nil && !isSameFile(f[name], now) {
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
		if !f.look(o) {
			continue
		}
		select {
		case changed <- syscall.SIGHUP:
		case <-ctx.Done():
			return
		}
	}
}

// isSameFile reports whether a file has not changed.
func isSameFile(before, now fs.FileInfo) bool {
	return before != nil && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}

// configFiles returns the file that holds the configuration and that of the manifest
// in it, as far as there are such files. They are where a config.Loader looks.
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
