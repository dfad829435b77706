package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// writeArchive writes a .tar.gz of a directory. Its bytes depend only on the
// names and contents of the files: they are sorted, owned by root, have the same
// time, and only the binary is executable.
func writeArchive(dir, target string, now time.Time) (err error) {
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z, _ := gzip.NewWriterLevel(out, gzip.BestCompression)
	t := tar.NewWriter(z)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error { // in lexical order
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(filepath.Dir(dir), path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: filepath.ToSlash(name), Size: int64(len(data)), Mode: 0o644, ModTime: now, Format: tar.FormatUSTAR, Uname: "root", Gname: "root"}
		if entry.Name() == "scout" {
			header.Mode = 0o755
		}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		_, err = t.Write(data)
		return err
	})
	return errors.Join(err, t.Close(), z.Close())
}
