// Package chromium drives a real Chromium in tests, over the pipe of the Chrome
// DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/). Start at
// [Open].
package chromium

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"scout/internal/test/env"
)

// timeout is the maximum time that a test waits for the browser. It is long because the
// machine may be busy.
const timeout = time.Minute

// A Page is a tab of a browser. The browser belongs to one test. The methods fail the
// test if the browser fails.
type Page struct {
	t       testing.TB
	session string

	write   func([]byte) error
	mu      sync.Mutex
	next    int
	replies map[int]chan reply
	ended   chan struct{}
	events  map[string][]json.RawMessage // params, by method
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// Open starts a browser and opens a URL. Width and height are those of its window in
// CSS pixels.
func Open(t testing.TB, url string, width, height int) *Page {
	t.Helper()
	p := &Page{t: t, replies: map[int]chan reply{}, ended: make(chan struct{}), events: map[string][]json.RawMessage{}}
	p.start()
	var target struct{ TargetID string }
	p.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	p.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log", "Accessibility"} {
		p.Call(domain+".enable", nil, nil)
	}
	p.Resize(width, height)
	p.Call("Page.navigate", map[string]any{"url": url}, nil)
	p.Wait(`document.readyState === "complete" && location.href !== "about:blank"`)
	return p
}

// start starts the browser, which reads commands from file descriptor 3 and writes
// to 4. Each message ends with a zero byte.
func (p *Page) start() {
	p.t.Helper()
	program := env.Program(p.t, "chromium", "the system's package", "chromium-browser", "google-chrome")
	commands, in, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, messages, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-extensions", "--no-first-run", "--user-data-dir="+p.t.TempDir())
	cmd.ExtraFiles = []*os.File{commands, messages}
	env.DieWithTest(cmd)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	commands.Close()
	messages.Close()
	p.write = func(b []byte) error { _, err := in.Write(append(b, 0)); return err }
	go p.read(bufio.NewReader(out))
	p.t.Cleanup(func() {
		_ = p.write([]byte(`{"id":0,"method":"Browser.close"}`))
		select {
		case <-p.ended:
		case <-time.After(timeout):
			p.t.Error("chromium, Browser.close: the browser has not ended")
			_ = cmd.Process.Kill()
		}
		in.Close()
		_ = cmd.Wait()
		out.Close()
	})
}

// read reads the browser's messages until the browser ends.
func (p *Page) read(r *bufio.Reader) {
	defer close(p.ended)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			reply
		}
		if err := json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m); err != nil {
			continue
		}
		p.mu.Lock()
		if m.Method != "" {
			p.events[m.Method] = append(p.events[m.Method], m.Params)
		} else if waiting := p.replies[m.ID]; waiting != nil {
			delete(p.replies, m.ID)
			waiting <- m.reply
		}
		p.mu.Unlock()
	}
}

// Call calls a method of the protocol and decodes its result into out, unless that is
// nil.
func (p *Page) Call(method string, params, out any) {
	p.t.Helper()
	if params == nil {
		params = map[string]any{}
	}
	p.mu.Lock()
	p.next++
	id, waiting := p.next, make(chan reply, 1)
	p.replies[id] = waiting
	p.mu.Unlock()
	command := map[string]any{"id": id, "method": method, "params": params}
	if p.session != "" {
		command["sessionId"] = p.session
	}
	text, err := json.Marshal(command)
	if err == nil {
		err = p.write(text)
	}
	if err != nil {
		p.t.Fatalf("chromium, %s: %v", method, err)
	}
	select {
	case r := <-waiting:
		if r.Error != nil {
			p.t.Fatalf("chromium, %s: %s", method, r.Error.Message)
		}
		if out != nil {
			if err := json.Unmarshal(r.Result, out); err != nil {
				p.t.Fatalf("chromium, %s: %v", method, err)
			}
		}
	case <-p.ended:
		p.t.Fatalf("chromium, %s: the browser has ended", method)
	case <-time.After(timeout):
		p.t.Fatalf("chromium, %s: no response", method)
	}
}

// Events returns the parameters of each occurrence of an event of the protocol.
func (p *Page) Events(method string) []json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events[method])
}

// Eval evaluates an expression of JavaScript, which may be a promise, and decodes its
// value into out, unless that is nil.
func (p *Page) Eval(expression string, out any) {
	p.t.Helper()
	var result struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	p.Call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &result)
	if e := result.ExceptionDetails; e != nil {
		p.t.Fatalf("evaluating %s: %s", expression, e.Exception.Description)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(result.Result.Value, out); err != nil {
		p.t.Fatalf("evaluating %s: %v", expression, err)
	}
}

// Text evaluates an expression to a string.
func (p *Page) Text(expression string) (text string) {
	p.t.Helper()
	p.Eval(expression, &text)
	return text
}

// Wait waits until a condition in JavaScript holds.
func (p *Page) Wait(condition string) {
	p.t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Millisecond) {
		var holds bool
		p.Eval("Boolean("+condition+")", &holds)
		if holds {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("still not: %s; the page shows:\n%s", condition, p.Text("document.body.innerText"))
		}
	}
}

// keyCodes are the virtual key codes of keys that produce no text.
var keyCodes = map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}

// Press presses keys one after another.
func (p *Page) Press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		code, ok := keyCodes[key]
		if !ok {
			p.t.Fatalf("unknown key %q", key)
		}
		params := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code}
		if key == "Enter" {
			params["text"] = "\r"
		}
		p.Call("Input.dispatchKeyEvent", params, nil)
		p.Call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code}, nil)
	}
}

// Type enters text into the focused element.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// Resize sets the size of the page.
func (p *Page) Resize(width, height int) {
	p.t.Helper()
	p.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// SetDark sets whether the user prefers dark colors.
func (p *Page) SetDark(dark bool) {
	p.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Screenshot writes the visible part of the page to a PNG file.
func (p *Page) Screenshot(file string) {
	p.t.Helper()
	var shot struct{ Data string }
	p.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(file, png, 0o600)
	}
	if err != nil {
		p.t.Fatal(fmt.Errorf("screenshot: %w", err))
	}
}

// A Node is an element in the accessibility tree.
type Node struct{ Role, Name string }

// AccessibilityTree returns the page's elements with their roles and names.
func (p *Page) AccessibilityTree() (nodes []Node) {
	p.t.Helper()
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	p.Call("Accessibility.getFullAXTree", nil, &tree)
	for _, n := range tree.Nodes {
		if !n.Ignored {
			nodes = append(nodes, Node{fmt.Sprint(n.Role.Value), fmt.Sprint(n.Name.Value)})
		}
	}
	return nodes
}
