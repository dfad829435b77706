package main

import (
	"context"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// reloadInterval is the time between two looks at the file of the configuration.
const reloadInterval = time.Second

// watchFile sends to changed after each change of a file, until ctx ends. A file
// that is missing for a moment, as while an editor replaces it, has not changed.
func watchFile(ctx context.Context, name string, changed chan<- os.Signal) {
	before, _ := os.Stat(name)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reloadInterval):
		}
		now, err := os.Stat(name)
		if err != nil || isSameFile(before, now) {
			continue
		}
		before = now
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

// configFile returns the file that holds the configuration, "" if no file does. It
// is where a config.Loader looks.
func (o *options) configFile() string {
	name := o.config
	if name == "" {
		name = os.Getenv("SCOUT_CONFIG")
	}
	if info, err := os.Stat(name); err != nil || info.IsDir() {
		return ""
	}
	return name
}
