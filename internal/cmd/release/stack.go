package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// writeStack builds the Lambda function, and writes an archive from which sam deploy
// alone deploys a stack.
//
// In the archive, the folder of the function links to every file of the stack. SAM
// follows the links when it makes the function's zip, so the zip changes with each of
// these files. SAM publishes a version only if the zip has changed.
func (r *release) writeStack() error {
	name := "scout_" + r.version[1:]
	stage := filepath.Join(dist, "stage", name+"_sam")
	for _, architecture := range []string{"arm64", "x86_64"} {
		function := filepath.Join(stage, "lambda", architecture)
		if err := os.MkdirAll(function, 0o755); err != nil {
			return err
		}
		if err := r.writeFunction(name+"_lambda_"+architecture, architecture, function); err != nil {
			return err
		}
		for _, name := range []string{"deploy", "samconfig.toml", "template.yaml"} {
			if err := os.Symlink("../../"+name, filepath.Join(function, name)); err != nil {
				return err
			}
		}
	}
	files := r.sharedFiles("LICENSE", "README.md", "CHANGELOG.md", "docs/")
	for _, name := range []string{"template.yaml", "samconfig.toml", "deploy/shop-staging.yaml", "deploy/shop-production.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, file{name, data})
	}
	if err := writeFiles(stage, files); err != nil {
		return err
	}
	return writeArchive(stage, filepath.Join(dist, name+"_sam.tar.gz"), r.time)
}

// writeFunction builds the function for an architecture of Lambda, writes its zip and
// its SBOM to dist, and moves the binary and its licenses to the directory target.
func (r *release) writeFunction(name, architecture, target string) error {
	dir := filepath.Join(dist, "stage", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	goarch := strings.Replace(architecture, "x86_64", "amd64", 1)
	if _, err := runCommand(buildEnv, "make", "build-ScoutFunction", "GOARCH="+goarch, "ARTIFACTS_DIR="+dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "release")); err != nil { // about files that are not in the zip
		return err
	}
	binary := filepath.Join(dir, "bootstrap")
	notices, err := thirdPartyLicenses(binary)
	if err != nil {
		return err
	}
	licenses := append(r.sharedFiles("LICENSE"), file{"THIRD_PARTY_LICENSES", notices})
	if err := writeFiles(dir, licenses); err != nil {
		return err
	}
	if err := writeZip(dir, filepath.Join(dist, name+".zip"), r.time); err != nil {
		return err
	}
	if err := r.writeSBOM(binary, name); err != nil {
		return err
	}
	for _, name := range []string{"bootstrap", "LICENSE", "THIRD_PARTY_LICENSES"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(target, name)); err != nil {
			return err
		}
	}
	return nil
}

// sharedFiles returns the shared files whose names begin with one of the prefixes.
func (r *release) sharedFiles(prefixes ...string) (files []file) {
	for _, f := range r.shared {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(f.name, prefix) }) {
			files = append(files, f)
		}
	}
	return files
}
