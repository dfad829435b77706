//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"scout/internal/devstack"
	"scout/internal/test/chromium"
)

// openPage starts scout dev and opens its page. At the end of the test, it checks that
// the page has sent requests to no other host, and that nothing on it has failed.
func openPage(t *testing.T, redisURL string) (p *chromium.Page, endpoint string) {
	t.Helper()
	endpoint, stdout := startDev(t, redisURL)
	go func() {
		for stdout.Scan() { // otherwise, scout dev would block
		}
	}()
	p = chromium.Open(t, endpoint+"/", 1440, 900)
	p.Wait(`document.querySelector("#connection").textContent === "live" && document.querySelector("#sample").options.length > 20`)
	t.Cleanup(func() {
		requests := p.Events("Network.requestWillBeSent")
		if len(requests) < 4 {
			t.Errorf("%d requests were seen", len(requests))
		}
		for _, request := range requests {
			var r struct{ Request struct{ URL string } }
			if err := json.Unmarshal(request, &r); err != nil {
				t.Error(err)
			}
			if u, err := url.Parse(r.Request.URL); err != nil || "http://"+u.Host != endpoint {
				t.Errorf("the page asked for %s", r.Request.URL)
			}
		}
		for _, event := range slices.Concat(p.Events("Runtime.exceptionThrown"), p.Events("Log.entryAdded")) {
			if !strings.Contains(string(event), `"source":"network"`) { // the status of a response, which the page reports
				t.Errorf("the browser reports %s", event)
			}
		}
	})
	return p, endpoint
}

// tabTo presses Tab until an element has the focus.
func tabTo(t *testing.T, p *chromium.Page, id string) {
	t.Helper()
	for range 60 {
		if p.Text(`document.activeElement.id`) == id {
			checkFocusIsVisible(t, p)
			return
		}
		p.Press("Tab")
	}
	t.Fatalf("Tab does not reach %s", id)
}

// checkFocusIsVisible checks that the focused element has a visible outline.
func checkFocusIsVisible(t *testing.T, p *chromium.Page) {
	t.Helper()
	outline := p.Text(`(s => s.outlineStyle + " " + s.outlineWidth)(getComputedStyle(document.activeElement))`)
	if outline != "solid 2px" {
		t.Errorf("the outline of the focused %s is %s", p.Text(`document.activeElement.outerHTML.slice(0, 100)`), outline)
	}
}

// waitRow waits until row n, from 1, shows a text.
func waitRow(p *chromium.Page, n int, text string) {
	p.Wait(fmt.Sprintf(`document.querySelector("#rows tr:nth-child(%d)")?.innerText.includes(%q)`, n, text))
}

// TestPageByKeyboard uses only the keyboard to publish, to view a job and a rejection,
// and to replay.
func TestPageByKeyboard(t *testing.T) {
	p, _ := openPage(t, "")
	tabTo(t, p, "tab-message")
	p.Press("ArrowRight")
	tabTo(t, p, "text")
	tabTo(t, p, "send")
	p.Press("Enter")
	waitRow(p, 1, "OrderWorker (default) {\"id\":1}")

	p.Wait(`document.activeElement.id === "send"`)
	p.Eval(`document.activeElement.blur()`, nil) // as a click on the background does: Tab starts at the top
	p.Eval(`document.querySelector(".skip").focus()`, nil)
	checkFocusIsVisible(t, p)
	p.Press("Enter")
	p.Wait(`document.activeElement.closest("#rows tr") !== null`)
	checkFocusIsVisible(t, p)
	p.Press("Enter")
	p.Wait(`document.activeElement.id === "message-title"`)
	jid := p.Text(`JSON.parse(document.querySelector("#jobs pre").textContent).jid`)
	if job := p.Text(`document.querySelector("#jobs").innerText`); len(jid) != 24 || !strings.Contains(job, `"class": "OrderWorker"`) {
		t.Errorf("the job is shown as %s", job)
	}
	if original := p.Text(`document.querySelector("#original").innerText`); !strings.Contains(original, `"id": 1`) {
		t.Errorf("the original message is shown as %s", original)
	}

	tabTo(t, p, "redeliver")
	p.Press("Enter")
	waitRow(p, 2, "duplicate")
	tabTo(t, p, "repeat")
	p.Press("Enter")
	waitRow(p, 3, "enqueued")
	p.Press("Escape", "End", "Enter")
	p.Wait(fmt.Sprintf(`document.querySelector("#jobs pre").textContent.includes("jid") && !document.querySelector("#jobs pre").textContent.includes(%q)`, jid))

	tabTo(t, p, "edit")
	p.Press("Enter")
	p.Wait(`document.activeElement.id === "text"`)
	p.Eval(`document.querySelector("#destination").focus()`, nil)
	p.Press("End") // the queue, without a topic
	p.Wait(`document.querySelector("#destination").value === "queue:app"`)
	tabTo(t, p, "send")
	p.Press("Enter")
	waitRow(p, 4, "rejected")
	p.Press("Escape", "End", "Enter")
	p.Wait(`document.querySelector("#outcome").textContent.includes("(not_envelope)")`)
	tabTo(t, p, "redeliver")
	p.Press("Enter")
	p.Wait(`document.querySelector("#replayed").textContent.includes("still in the queue")`)
}

// publishPage publishes drafts through the page's API.
func publishPage(p *chromium.Page, drafts ...map[string]any) {
	for _, draft := range drafts {
		text, _ := json.Marshal(draft)
		p.Eval(fmt.Sprintf(`fetch("/_scout/publish", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(%s)}).then(async r => { if (!r.ok) throw await r.text() })`, text), nil)
	}
}

// TestPagePublishes publishes a sample message, changed and with an attribute, to a
// topic that does not exist yet.
func TestPagePublishes(t *testing.T) {
	p, _ := openPage(t, "")
	choose := func(id, value string) {
		p.Eval(fmt.Sprintf(`(e => { e.value = %q; e.dispatchEvent(new Event("change", {bubbles: true})) })(document.querySelector("#%s"))`, value, id), nil)
	}
	p.Eval(`document.querySelector("#first").click()`, nil)
	choose("sample", p.Text(`[...document.querySelector("#sample").options].find(o => o.text === "several-topics 2: user-signups").value`))
	if got := p.Text(`document.querySelector("#topic-name").value`); got != "user-signups" {
		t.Errorf("the topic is %q", got)
	}
	p.Eval(`document.querySelector("#text").select(), document.querySelector("#text").focus()`, nil)
	p.Type(`{"id": 1.0}`)
	p.Eval(`document.querySelector("#attributes").replaceChildren(), document.querySelector("#add-attribute").click()`, nil)
	p.Type("event_type")
	p.Press("Tab", "Tab")
	p.Type("created")
	p.Press("Enter")
	waitRow(p, 1, `no worker is configured for the topic "user-signups"`)
	p.Eval(`document.querySelector("#rows tr").click()`, nil)
	p.Wait(`document.querySelector("#original").innerText.includes("event_type (String): created")`)
	if got := p.Text(`document.querySelector("#original pre").textContent`); got != "{\n  \"id\": 1.0\n}" {
		t.Errorf("the message is shown as %q", got)
	}
	p.Eval(`document.querySelector("#edit").click()`, nil)
	choose("destination", devstack.TopicARN("orders"))
	p.Eval(`document.querySelector("#send").click()`, nil)
	waitRow(p, 2, `OrderWorker (default) {"id":1.0}`)
	p.Wait(`document.querySelector("#sent").textContent.startsWith("Published as ")`)
}

// TestPageShowsTextAsText checks that messages cannot become markup, scripts or
// invisible characters.
func TestPageShowsTextAsText(t *testing.T) {
	p, _ := openPage(t, "")
	const markup = `<img src=x onerror="window.ran=1"><script>window.ran=1</script><a href="javascript:window.ran=1">`
	hostile := map[string]any{
		"topic": "orders", "subject": markup[:90], "message": `{"a":"` + strings.ReplaceAll(markup, `"`, `'`) + "\u202e\u200b\"}",
		"attributes": []map[string]string{{"name": "a", "type": "String", "value": markup + "\u202e"}},
	}
	publishPage(p, hostile, map[string]any{"topic": "x", "message": markup + "\u202e\u009b"}, map[string]any{"queue": "app", "message": markup},
		map[string]any{"topic": "orders", "message": strings.Repeat("\u202e", 70_000)})
	for n := 1; n <= 4; n++ {
		waitRow(p, n, "0")
		p.Eval(fmt.Sprintf(`document.querySelector("#rows tr:nth-child(%d)").click()`, n), nil)
		p.Wait(fmt.Sprintf(`document.querySelector("#rows tr:nth-child(%d)").getAttribute("aria-selected") === "true" && document.querySelector("#facts").innerText.includes("SQS message id")`, n))
	}
	p.Eval(`document.querySelector("#edit").click()`, nil)
	p.Eval(`document.querySelector("#tab-sidekiq").click()`, nil)
	p.Wait(`document.querySelectorAll("#lists details").length === 2`)
	if got := p.Text(`[...document.querySelectorAll("body img, body script, body a, body iframe")].map(e => e.outerHTML).join()`); !strings.HasPrefix(got, `<a class="skip"`) || strings.Count(got, "<") != 2 {
		t.Errorf("the page has %s", got)
	}
	if got := p.Text(`String(window.ran) + /[\u202a-\u202e\u200b\u009b]/.test(document.body.textContent)`); got != "undefinedfalse" {
		t.Errorf("a script ran, or the page shows invisible characters: %s", got)
	}
}

// TestPageAccessibility checks names and roles, the contrast of all text in light and
// dark mode (WCAG 2.2, 1.4.3), and that arriving messages do not move the layout.
func TestPageAccessibility(t *testing.T) {
	p, _ := openPage(t, "")
	publishPage(p, map[string]any{"topic": "orders", "message": "1"}, map[string]any{"topic": "x", "message": "2"})
	waitRow(p, 2, "rejected")
	p.Eval(`document.querySelector("#rows tr").click()`, nil)
	p.Wait(`!document.querySelector("#selected").hidden`)
	for _, view := range []struct {
		name, tab     string
		width, height int
	}{{"message", "tab-message", 1440, 900}, {"publish", "tab-publish", 1440, 900}, {"sidekiq", "tab-sidekiq", 1440, 900}, {"narrow", "tab-message", 640, 800}} {
		p.Resize(view.width, view.height)
		p.Eval(fmt.Sprintf(`document.querySelector("#%s").click()`, view.tab), nil)
		p.Wait(`document.querySelector("[role=tabpanel]:not([hidden])").innerText.length > 40`)
		checkNames(t, p, view.name)
		for _, dark := range []bool{false, true} {
			p.SetDark(dark)
			name := view.name + map[bool]string{false: "-light", true: "-dark"}[dark]
			if low := p.Text(lowContrast); low != "" {
				t.Errorf("%s: text with a contrast below 4.5: %s", name, low)
			}
			if dir := os.Getenv("SCOUT_SCREENSHOTS"); dir != "" {
				p.Screenshot(filepath.Join(dir, name+".png"))
			}
		}
		var wide bool
		p.Eval(`document.documentElement.scrollWidth > innerWidth`, &wide)
		if wide {
			t.Errorf("%s: the page is wider than the window", view.name)
		}
	}
	p.Resize(1440, 900)
	p.Eval(frames, nil) // until the new size takes effect
	p.Eval(`window.moved = []; new PerformanceObserver(list => {
		for (const e of list.getEntries()) window.moved.push(e.value, ...e.sources.map(s => s.node?.outerHTML?.slice(0, 80)))
	}).observe({type: "layout-shift"})`, nil)
	for n := 3; n < 40; n++ {
		publishPage(p, map[string]any{"topic": "orders", "message": fmt.Sprint(n)})
	}
	waitRow(p, 39, "OrderWorker")
	p.Eval(frames, nil)
	if moved := p.Text(`window.moved.join(" ")`); moved != "" {
		t.Errorf("the layout has moved: %s", moved)
	}
}

// frames is an expression for a promise that resolves once the browser has drawn all
// earlier changes.
const frames = `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))`

// checkNames checks that each control has a role and a name, and that the landmarks
// exist.
func checkNames(t *testing.T, p *chromium.Page, view string) {
	t.Helper()
	nodes := p.AccessibilityTree()
	controls := []string{"button", "textbox", "combobox", "tab", "tabpanel", "grid", "row", "link", "form", "region"}
	for _, n := range nodes {
		if slices.Contains(controls, n.Role) && strings.TrimSpace(n.Name) == "" {
			t.Errorf("%s: a %s has no name", view, n.Role)
		}
	}
	want := []chromium.Node{{Role: "grid", Name: "Messages"}, {Role: "heading", Name: "Messages"}, {Role: "tab", Name: "Publish"}, {Role: "tablist", Name: "Details"}, {Role: "columnheader", Name: "Outcome"}}
	switch view {
	case "message":
		want = append(want, chromium.Node{Role: "button", Name: "Redeliver"}, chromium.Node{Role: "button", Name: "Send as new"}, chromium.Node{Role: "heading", Name: "orders"})
	case "publish":
		want = append(want, chromium.Node{Role: "combobox", Name: "To"}, chromium.Node{Role: "combobox", Name: "Start from"}, chromium.Node{Role: "textbox", Name: "Message"}, chromium.Node{Role: "button", Name: "Publish"})
	}
	for _, n := range want {
		if !slices.Contains(nodes, n) {
			t.Errorf("%s: there is no %s with the name %q", view, n.Role, n.Name)
		}
	}
}

// lowContrast is an expression for the visible texts whose contrast is below 4.5, as
// WCAG 2.2 defines it. The page has no translucent colors.
const lowContrast = `(() => {
	const channels = color => color.match(/[\d.]+/g).map(Number);
	const luminance = color => channels(color).slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = element => {
		for (let e = element; e; e = e.parentElement) {
			const color = getComputedStyle(e).backgroundColor;
			if ((channels(color)[3] ?? 1) > 0) return color;
		}
		return "rgb(255, 255, 255)";
	};
	const low = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	let n = 0;
	while (texts.nextNode()) {
		const e = texts.currentNode.parentElement;
		if (!texts.currentNode.data.trim() || !e.checkVisibility() || e.closest(".hidden, option")) continue;
		n++;
		const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))].sort((x, y) => y - x);
		const contrast = (a + 0.05) / (b + 0.05);
		if (contrast < 4.5) low.push(texts.currentNode.data.trim().slice(0, 40) + " " + contrast.toFixed(2));
	}
	return n < 20 ? "only " + n + " texts were found" : low.join("; ");
})()`

// TestPageShowsSidekiq checks that the page shows the queues and sets of Redis
// unchanged, and changes nothing.
func TestPageShowsSidekiq(t *testing.T) {
	server, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := redis.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, command := range [][]any{
		{"SADD", "queues", "low"}, {"LPUSH", "queue:low", `{"class":"LowWorker","args":[1],"jid":"a1"}`},
		{"ZADD", "retry", 1767323045, `{"class":"RetryWorker","args":[2],"jid":"a2","error_class":"RuntimeError","error_message":"<b>no</b>"}`},
		{"ZADD", "schedule", 1767323045, `{"class":"LaterWorker","args":[3],"jid":"a3"}`},
		{"ZADD", "dead", 1767323045, `{"class":"DeadWorker","args":[4],"jid":"a4"}`}, {"ZADD", "dead", 1767323046, "no JSON"},
	} {
		if _, err := conn.Do(command[0].(string), command[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	dump := func() string {
		server.Del("scout:check") // Scout's own, which expires after a moment
		return server.Dump()
	}
	before := dump()
	p, _ := openPage(t, "redis://"+server.Addr())
	p.Eval(`document.querySelector("#tab-sidekiq").click()`, nil)
	p.Wait(`document.querySelectorAll("#lists details").length === 5`)
	got := p.Text(`document.querySelector("#lists").innerText.replace(/\s+/g, " ")`)
	for _, want := range []string{"Queue low, 1 job LowWorker 1", "Retries, 1 job RetryWorker 2", "Scheduled, 1 job LaterWorker 3", "Dead, 2 jobs no job DeadWorker 4"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page shows %q, want %q in it", got, want)
		}
	}
	p.Eval(`document.querySelectorAll("#lists details")[1].open = true`, nil)
	if got := p.Text(`document.querySelectorAll("#lists details")[1].innerText`); !strings.Contains(got, "RuntimeError: <b>no</b>") {
		t.Errorf("the job is shown as %s", got)
	}
	if after := dump(); after != before {
		t.Errorf("Redis has changed:\n%s\nwas:\n%s", after, before)
	}
}
