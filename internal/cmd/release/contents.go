package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// buildSBOM returns a CycloneDX 1.6 document that lists the modules in the binary.
// It only reformats the build information that Go embeds in every binary.
func buildSBOM(binary, version string, now time.Time) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	type hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	type component struct {
		Ref     string `json:"bom-ref"`
		Type    string `json:"type"`
		Name    string `json:"name"`
		Version string `json:"version"`
		PURL    string `json:"purl,omitempty"`
		Hashes  []hash `json:"hashes,omitempty"`
	}
	type dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
	scout := component{"scout@" + version, "application", "scout", version, "", []hash{{"SHA-256", fmt.Sprintf("%x", sha256.Sum256(data))}}}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	std := "pkg:golang/std@" + goVersion
	components := []component{{std, "library", "std", goVersion, std, nil}}
	dependencies := dependency{scout.Ref, []string{std}}
	for _, dep := range info.Deps {
		purl := "pkg:golang/" + dep.Path + "@" + dep.Version
		components = append(components, component{purl, "library", dep.Path, dep.Version, purl, nil})
		dependencies.DependsOn = append(dependencies.DependsOn, purl)
	}
	document, err := json.MarshalIndent(map[string]any{
		"bomFormat":    "CycloneDX",
		"specVersion":  "1.6",
		"version":      1,
		"metadata":     map[string]any{"timestamp": now.Format(time.RFC3339), "component": scout},
		"components":   components,
		"dependencies": []dependency{dependencies},
	}, "", "  ")
	return append(document, '\n'), err
}

// thirdPartyLicenses returns the licenses and notices of Go and of all modules
// in the binary, which must accompany it. Each distinct text appears once.
func thirdPartyLicenses(binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	root, err := runCommand(nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var order []string
	modules := map[string][]string{} // by text
	add := func(module, dir string) error {
		texts, err := readLicenses(dir)
		if err == nil && len(texts) == 0 {
			err = fmt.Errorf("found no license of %s", module)
		}
		for _, text := range texts {
			if modules[text] == nil {
				order = append(order, text)
			}
			modules[text] = append(modules[text], module)
		}
		return err
	}
	if err := add("Go "+strings.TrimPrefix(info.GoVersion, "go"), strings.TrimSpace(string(root))); err != nil {
		return nil, err
	}
	for _, dep := range info.Deps {
		dir, err := runCommand(nil, "go", "list", "-m", "-f", "{{.Dir}}", dep.Path)
		if err != nil {
			return nil, err
		}
		if err := add(dep.Path+" "+dep.Version, strings.TrimSpace(string(dir))); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "The binary %s contains the works below under these licenses.\n", filepath.Base(binary))
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n\n  %s\n\n%s\n", strings.Repeat("=", 80), strings.Join(modules[text], "\n  "), strings.TrimSpace(text))
	}
	return b.Bytes(), nil
}

// readLicenses returns the texts of the licenses and notices in a directory.
func readLicenses(dir string) (texts []string, err error) {
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			texts = append(texts, string(text))
		}
	}
	return texts, nil
}
