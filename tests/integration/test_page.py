"""The web page in a real browser: against a stand-in for the API that can play any cluster, and against real daemons."""

import json
import threading

from oxtest.browser import Browser
from oxtest.case import Case, FaultyRegistry, Mirror, test_image
from oxtest.page_server import PageServer
from oxtest.process import free_port, wait_until

# What a page loses with its daemon: the browser says so on the console by itself.
_NETWORK = "Failed to load resource: net::ERR_"
_INTERACTIVE = "a[href], button, input, select, summary, [tabindex='0']"
_NAMED = ("link", "button", "searchbox", "textbox", "combobox", "radio", "progressbar", "meter", "image", "DisclosureTriangle")
_LABEL = "document.querySelector('#pulls-running canvas')?.getAttribute('aria-label')"
_TITLE = "document.querySelector('#verdict-title').textContent"


class PageCase(Case):
    @classmethod
    def set_up_parts(cls):
        cls.browser_of_all = cls.start_shared(Browser())

    def open(self, server, settled="document.querySelector('#tiles').childElementCount > 0"):
        """The page, drawn for the first time. It was asked for nothing before."""
        browser = self.browser_of_all
        browser.open("about:blank")
        browser.console.clear()
        browser.requests.clear()
        browser.resize(1280, 900)
        browser.prefer("light")
        browser.open(server + "/")
        browser.wait_for(settled, "the page to be drawn")
        return browser

    def assert_quiet(self, browser, server):
        """No error on the console, and no request to anywhere else."""
        self.assertEqual([line for line in browser.console if not line.startswith(_NETWORK)], [])
        self.assertTrue(browser.requests)
        self.assertEqual([url for url in browser.requests if not url.startswith((server, "data:"))], [])

    def colours(self, browser, png):
        """(how many colours a screenshot has, how light it is: 0 to 255), as the browser itself decodes it."""
        return browser.js("""(async () => {
          const image = new Image(); image.src = "data:image/png;base64,%s"; await image.decode();
          const canvas = document.createElement("canvas"); canvas.width = image.width; canvas.height = image.height;
          const paint = canvas.getContext("2d"); paint.drawImage(image, 0, 0);
          const data = new Uint32Array(paint.getImageData(0, 0, image.width, image.height).data.buffer);
          let light = 0; for (const pixel of data) light += pixel >> 8 & 255;
          return [new Set(data).size, light / data.length]; })()""" % png)


class StandIn(PageCase):
    def page(self, **options):
        server = self.start(PageServer(**options))
        return server, self.open(server.url)

    def test_a_busy_node_is_told_in_words(self):
        server, browser = self.page()
        browser.wait_for("document.querySelectorAll('#pulls-running .stripes:not([hidden])').length >= 4")
        browser.wait_for_count("#images tbody tr", 4)
        browser.wait_for_count("#errors-list li", 3)
        browser.wait_for("document.querySelector('#pulls-running .stuck .still').innerText.includes('No progress for')")
        self.assertIn("acme/checkout", browser.text("#pulls-running .stuck h3"))
        self.assertIn("waits for ghcr.io", browser.text("#pulls-running .stuck .still"))
        browser.wait_for(_TITLE + ".startsWith('Needs attention')")
        browser.wait_for("document.querySelector('#verdict-more').innerText.includes('from peers')", "rates")
        self.assertIn("suspended: sent wrong bytes", browser.text("#peers"))
        self.assertIn("docker.io", browser.text("#registries"))
        self.assertEqual(browser.text("#registries-more"), "1 registry not asked yet.")
        label = browser.js("document.querySelector('#pulls-running .stuck canvas').getAttribute('aria-label')")
        for word in ("stripes", "peer", "upstream", "arriving", "1 being replaced", "missing"):
            self.assertIn(word, label)
        self.assert_quiet(browser, server.url)

    def test_a_well_node_is_healthy(self):
        for scene, word in (("well", "Healthy"), ("alone", "Healthy"), ("empty", "Nothing has been served")):
            with self.subTest(scene=scene):
                server, browser = self.page(scene=scene)
                browser.wait_for(f"document.querySelector('#verdict').innerText.includes('{word}')")
                self.assertNotIn("undefined", browser.text("body"))
                self.assertNotIn("NaN", browser.text("body"))
                self.assert_quiet(browser, server.url)

    def test_names_that_are_html_stay_text(self):
        server = self.start(PageServer())
        server.evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
        browser = self.open(server.url)
        for selector, at_least in (("#errors-list li", 3), ("#images tbody tr", 4), ("#peers tbody tr", 4), ("#pulls-running li", 4)):
            browser.wait_for_count(selector, at_least)
        self.assertIn("<img src=x", browser.text("#peers"))
        self.assertEqual(browser.js("document.querySelectorAll('main img, main script').length"), 0)
        self.assertNotIn("owned", browser.js("document.title"))
        self.assert_quiet(browser, server.url)

    def test_a_silent_daemon_is_said_and_comes_back_by_itself(self):
        server, browser = self.page()
        server.stop()
        browser.wait_for(_TITLE + " == 'The daemon does not answer'")
        browser.wait_for("/^Since \\d+ s; trying again/.test(document.querySelector('#verdict-more').textContent)")
        self.assertIn("no answer", browser.js("document.title"))
        # What is announced does not count the seconds.
        self.assertEqual(browser.js("document.querySelector('#verdict-more').closest('[role=status], [aria-live]')"), None)
        server.start()
        browser.wait_for(_TITLE + " != 'The daemon does not answer'", timeout_s=60)
        self.assert_quiet(browser, server.url)

    def test_an_upgraded_daemon_asks_for_a_reload(self):
        server, browser = self.page(scene="well")
        status = server.status
        server.status = lambda: {**status(), "version": "0.2.0", "started": "2026-01-01T00:00:00.000Z"}
        browser.wait_for("document.querySelector('#findings').innerText.includes('reload this page')")

    def test_ten_thousand_peers_and_a_giant_blob_do_not_freeze_it(self):
        server = self.start(PageServer(peers=10000))
        server.giant = 65536
        browser = self.open(server.url)
        browser.wait_for("document.querySelectorAll('#peers tbody tr').length == 50", "the worst fifty", timeout_s=90)
        self.assertIn("9,950 more members", browser.text("#peers-more"))
        self.assertLessEqual(browser.js("document.querySelectorAll('#places tbody tr').length"), 40)
        self.assertLess(browser.js("document.querySelectorAll('*').length"), 4000)
        self.assertIn("silent", browser.text("#peers tbody tr"))
        browser.fill_in("#peers-filter", "node-9999")
        self.assertEqual(browser.count("#peers tbody tr"), 1)
        browser.fill_in("#pulls-filter", "llama")
        browser.wait_for(_LABEL + "?.startsWith('65,536 stripes')", timeout_s=60)
        self.assertLess(browser.js("document.querySelector('#pulls-running canvas').clientHeight"), 130)
        self.assert_quiet(browser, server.url)

    def test_sorting_and_filtering(self):
        server, browser = self.page()
        browser.wait_for_count("#peers tbody tr", 14)
        browser.wait_for_count("#images tbody tr", 4)
        browser.js("[...document.querySelectorAll('#peers thead button')].find((b) => b.textContent.startsWith('Peer')).click()")
        names = browser.js("[...document.querySelectorAll('#peers tbody th')].map((cell) => cell.textContent)")
        self.assertEqual(names, sorted(names))
        self.assertEqual(browser.js("document.querySelector('#peers th[aria-sort]').getAttribute('aria-sort')"), "ascending")
        for box, wanted, rows in (("cache-filter", "grafana", "#images tbody tr"), ("peers-filter", "suspended", "#peers tbody tr"),
                                  ("pulls-filter", "checkout", "#pulls-running > li")):
            browser.fill_in("#" + box, wanted)
            self.assertEqual(browser.count(rows), 1, box)
        browser.fill_in("#pulls-filter", "nothing such")
        self.assertIn("matches the filter", browser.text("#pulls-more"))
        self.assert_quiet(browser, server.url)

    def test_everything_is_reached_by_keyboard_and_has_a_name(self):
        _, browser = self.page()
        browser.wait_for_count("#images tbody tr", 4)
        browser.wait_for_count("#peers tbody tr", 14)
        browser.js(f"""window.unreached = () => {{
          const shown = [...document.querySelectorAll("{_INTERACTIVE}")].filter((one) =>
            one.checkVisibility({{visibilityProperty: true}}) && !(one.type === 'radio' && !one.checked));
          return shown.filter((one) => !one.reached).map((one) => one.outerHTML.slice(0, 120)); }};
          document.addEventListener('focusin', (event) => {{ event.target.reached = true; }})""")
        for _ in range(40):
            for _ in range(10):
                browser.press("Tab")
            if not browser.js("unreached().length"):
                break
        self.assertEqual(browser.js("unreached()"), [])
        nameless = [role for role, name in browser.accessible() if role in _NAMED and not name.strip()]
        self.assertEqual(nameless, [])
        roles = {role for role, _ in browser.accessible()}
        for landmark in ("banner", "main", "navigation", "contentinfo", "region"):
            self.assertIn(landmark, roles)
        # An opened pull stays open, and keeps the focus, while it is drawn again each second.
        browser.js("document.querySelector('#pulls-running summary').focus()")
        browser.press("Enter")
        browser.wait_for("document.querySelectorAll('#pulls-running details[open] tbody tr').length > 5")
        asked = len(browser.requests)
        wait_until(lambda: len(browser.requests) > asked + 8, 30, "the page to ask again")
        self.assertTrue(browser.js("document.activeElement.matches('#pulls-running summary') && document.activeElement.parentElement.open"))

    def test_light_and_dark_at_three_widths(self):
        _, browser = self.page()
        browser.wait_for_count("#images tbody tr", 4)
        browser.js("document.querySelectorAll('details').forEach((one, index) => { one.open = index % 4 === 0; })")
        browser.wait_for("document.querySelectorAll('details[open] tbody tr').length > 5")
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            for width in (1280, 800, 390):
                with self.subTest(scheme=scheme, width=width):
                    browser.resize(width, 900)
                    browser.wait_for(f"document.documentElement.clientWidth == {width}")
                    self.assertLessEqual(browser.js("document.documentElement.scrollWidth"), width, "it scrolls sideways")
                    wide = browser.js("[...document.querySelectorAll('.card, .verdict')]"
                                      ".filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.id)")
                    self.assertEqual(wide, [], "these are wider than their frame")
                    count, light = self.colours(browser, browser.encoded(browser.screenshot()))
                    self.assertGreater(count, 50)
                    self.assertTrue(light > 150 if scheme == "light" else light < 80, light)

    def test_contrast(self):
        """AA for every text that is drawn, light and dark: 4.5, or 3 where it is large."""
        server, browser = self.page()
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            for silent in (False, True):
                if silent:
                    server.stop()
                    browser.wait_for(_TITLE + " == 'The daemon does not answer'")
                else:
                    browser.wait_for_count("#images tbody tr", 4)
                    browser.wait_for(_TITLE + ".startsWith('Needs')", timeout_s=60)
                with self.subTest(scheme=scheme, silent=silent):
                    self.assertEqual(browser.js(_CONTRAST), [])
            server.start()


# The contrast of each text with the nearest ground behind it, by WCAG's formula.
_CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const part = (value) => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(style.color)), light(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const enough = size >= 24 || (size >= 18.7 && style.fontWeight >= 700) ? 3 : 4.5;
    if (contrast < enough) bad.push(`${contrast.toFixed(2)} ${node.tagName}.${node.className} ${walk.currentNode.data.slice(0, 40)}`);
  }
  return bad; })()"""


class RealDaemons(PageCase):
    """Two daemons that are peers; the first one's page is looked at."""

    @classmethod
    def set_up_parts(cls):
        super().set_up_parts()
        cls.upstream_part = cls.start_shared(FaultyRegistry())
        peers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        registry = {"name": "registry.test", "upstreams": [cls.upstream_part.url]}
        cls.mirrors = [cls.start_shared(Mirror(cls.own_folder(), [registry], client={"default_registry": "registry.test"},
                                               peer={"name": f"node-{i}", "listen": address, "tls.insecure": True,
                                                     "location": ["zone-a", f"rack-{i}"]},
                                               membership={"provider": "static", "peers": peers}))
                       for i, address in enumerate(peers)]
        wait_until(lambda: cls.mirrors[0].metric("oxbow_peers", state="eligible") == 1, 60, "the peers to know each other")

    def setUp(self):
        super().setUp()
        self.upstream_part.reset()
        self.mirror = self.mirrors[0]

    def pull_in_background(self, digest):
        thread = threading.Thread(target=lambda: self.mirror.get(f"/v2/team/app/blobs/{digest}"), daemon=True)
        thread.start()
        self.addCleanup(thread.join, 60)
        return thread

    def test_headers_and_size(self):
        browser = self.open(self.mirror.admin_url)
        browser.wait_for(_TITLE + " != 'Asking the daemon'")
        total = 0
        for url in sorted({url for url in browser.requests if "/api/" not in url and not url.startswith("data:")}):
            reply = self.mirror.fetch(url)
            total += len(reply.body)
            self.assertIn("default-src 'none'; script-src 'self'", reply.header("Content-Security-Policy"))
            self.assertIn("frame-ancestors 'none'", reply.header("Content-Security-Policy"))
            self.assertEqual(reply.header("X-Content-Type-Options"), "nosniff")
            again = self.mirror.fetch(url, headers={"If-None-Match": reply.header("ETag")})
            self.assertEqual((again.status, again.body), (304, b""), url)
        self.assertGreater(total, 20_000)
        self.assertLessEqual(total, 150_000)
        self.assert_quiet(browser, self.mirror.admin_url)

    def test_a_running_pull_with_its_stripes(self):
        digest = self.upstream_part.add_blob(test_image.noise(24 << 20, "page-pull"))
        browser = self.open(self.mirror.admin_url)
        self.upstream_part.rate_bytes = 256 << 10
        pull = self.pull_in_background(digest)
        browser.wait_for(f"/[1-9]\\d* upstream/.test({_LABEL})", "stripes from upstream")
        self.assertIn("team/app", browser.text("#pulls-running h3"))
        self.assertIn(digest[:19], browser.text("#pulls-running code"))
        self.assertIn("in progress", browser.text("#pulls-count"))
        self.upstream_part.rate_bytes = None
        pull.join(60)
        browser.wait_for("document.querySelector('#pulls-recent')?.innerText.includes('verified')", "the pull among those that ended")
        browser.wait_for("document.querySelector('#images')?.innerText.includes('team/app')", "the image in the cache")
        browser.wait_for("/MiB/.test(document.querySelector('#legend .upstream').closest('tr').innerText)")
        self.assert_quiet(browser, self.mirror.admin_url)

    def test_a_pull_that_stands_still_says_why(self):
        digest = self.upstream_part.add_blob(test_image.noise(4 << 20, "page-still"))
        browser = self.open(self.mirror.admin_url)
        self.upstream_part.stall_body_s = 14
        self.pull_in_background(digest)
        browser.wait_for("document.querySelector('#pulls-running .stuck')?.innerText.includes('No progress for')", timeout_s=40)
        self.assertIn("registry.test", browser.text("#pulls-running .still"))
        browser.wait_for(_TITLE + ".startsWith('Needs attention')")
        self.upstream_part.stall_body_s = 0

    def test_the_ring(self):
        browser = self.open(self.mirror.admin_url)
        browser.wait_for("document.querySelectorAll('#peers tbody tr').length == 2")
        text = browser.text("#peers")
        for word in ("node-0", "node-1", "this node", "usable", "zone-a / rack-1", "%"):
            self.assertIn(word, text)
        self.assertIn("swarm", browser.text("#ring-count"))
        self.assert_quiet(browser, self.mirror.admin_url)

    def test_it_survives_a_restart(self):
        browser = self.open(self.mirror.admin_url)
        started = json.loads(self.mirror.fetch(self.mirror.admin_url + "/api/v1/status").body)["started"]
        self.mirror.stop()
        browser.wait_for(_TITLE + " == 'The daemon does not answer'")
        self.mirror.start()
        self.assertNotEqual(json.loads(self.mirror.fetch(self.mirror.admin_url + "/api/v1/status").body)["started"], started)
        browser.wait_for(_TITLE + " != 'The daemon does not answer'", timeout_s=60)
        asked = len(browser.requests)
        wait_until(lambda: any("/api/v1/pulls" in url for url in browser.requests[asked:]), 30, "the page to go on")
        self.assert_quiet(browser, self.mirror.admin_url)

    def test_light_and_dark_are_drawn(self):
        browser = self.open(self.mirror.admin_url)
        browser.wait_for("document.querySelectorAll('#peers tbody tr').length == 2")
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            count, light = self.colours(browser, browser.encoded(browser.screenshot()))
            self.assertGreater(count, 50)
            self.assertTrue(light > 150 if scheme == "light" else light < 80, light)
