package main

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// writeArchive writes a .tar.gz of a directory. Its bytes depend only on the
// names and contents of the files: they are sorted, owned by root, have the same
// time, and only the binaries are executable. Symbolic links stay links.
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
		header := &tar.Header{Name: filepath.ToSlash(name), Mode: int64(mode(entry)), ModTime: now, Format: tar.FormatUSTAR, Uname: "root", Gname: "root"}
		var data []byte
		if entry.Type() == fs.ModeSymlink {
			header.Typeflag = tar.TypeSymlink
			header.Linkname, err = os.Readlink(path)
		} else {
			data, err = os.ReadFile(path)
			header.Size = int64(len(data))
		}
		if err != nil {
			return err
		}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		_, err = t.Write(data)
		return err
	})
	return errors.Join(err, t.Close(), z.Close())
}

func mode(entry fs.DirEntry) fs.FileMode {
	if entry.Name() == "scout" || entry.Name() == "bootstrap" {
		return 0o755
	}
	return 0o644
}

// writeZip writes a .zip of the files in a directory, with the properties of
// writeArchive.
func writeZip(dir, target string, now time.Time) (err error) {
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z := zip.NewWriter(out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	entries, err := os.ReadDir(dir) // sorted
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: entry.Name(), Method: zip.Deflate, Modified: now}
		header.SetMode(mode(entry))
		w, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return errors.Join(err, z.Close())
}
