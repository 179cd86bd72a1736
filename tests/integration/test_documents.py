"""Every command in the documents works, and prints what the page says. How a page marks that: oxtest/documents.py."""

import collections
import glob
import os
import re

from oxtest import documents
from oxtest.case import Case
from oxtest.mirror import ROOT
from oxtest.page_case import PageCase

# Pages whose commands are run here, each on a machine of its own.
RUN_HERE = ["docs/tutorial.md", "docs/doctor.md", "docs/troubleshooting.md", "docs/certificates.md", "docs/peers.md"]
RUN_ELSEWHERE = {"docs/operations.md": "test_operations", "docs/install.md": "test_install", "docs/kubernetes.md": "test_kubernetes_docs"}
# How many blocks of a page are not run, each with its reason beside it.
NOT_RUN = {"README.md": 2, "CONTRIBUTING.md": 5, "docs/operations.md": 1, "docs/peers.md": 2, "packaging/helm/oxbow/README.md": 1}


def pages():
    patterns = ("*.md", "docs/**/*.md", "*/README.md", "packaging/**/*.md")
    return sorted({os.path.relpath(path, ROOT) for pattern in patterns for path in glob.glob(os.path.join(ROOT, pattern), recursive=True)})


class Words(Case):
    """What can be seen by reading."""

    def test_every_command_is_run_or_says_why_not(self):
        not_run = collections.Counter()
        for page in pages():
            for block in documents.blocks(page):
                with self.subTest(block.name):
                    self.assertIn(block.kind, ("sh", "text", "toml", "json", "yaml", "test"), "a block without a language")
                    if block.kind in ("text", ""):
                        self.assertNotRegex(block.text, r"(?m)^(\$ |# )?(sudo |oxbow [a-z]+ -|apt-get |systemctl )", "commands belong into ```sh")
                    if block.kind == "sh" and block.reason:
                        not_run[page] += 1
                    elif block.kind == "sh":
                        self.assertIn(page, [*RUN_HERE, *RUN_ELSEWHERE], "nothing runs the commands of this page")
        self.assertEqual(dict(not_run), NOT_RUN)

    def test_every_link_leads_somewhere(self):
        for page in pages():
            with open(os.path.join(ROOT, page), encoding="utf-8") as file:
                text = re.sub(r"^```.*?^```", "", file.read(), flags=re.M | re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                path = os.path.normpath(os.path.join(ROOT, os.path.dirname(page), path)) if path else os.path.join(ROOT, page)
                with self.subTest(f"{page}: {target}"):
                    self.assertTrue(os.path.exists(path), "no such file")
                    if anchor and path.endswith(".md"):
                        self.assertIn(anchor, anchors(path))

    def test_documents_are_short(self):
        for page in ("README", "tutorial", "concepts", "security", "comparison", "faq", "troubleshooting"):
            with open(os.path.join(ROOT, "docs", page + ".md"), encoding="utf-8") as file:
                self.assertLess(len(file.readlines()), 190, page)

    def test_every_page_is_in_the_index(self):
        with open(os.path.join(ROOT, "docs", "README.md"), encoding="utf-8") as file:
            index = file.read()
        for path in glob.glob(os.path.join(ROOT, "docs", "*.md")):
            name = os.path.basename(path)
            if name != "README.md":
                self.assertIn(f"({name})", index)


def anchors(path):
    """As GitHub makes them of headings."""
    with open(path, encoding="utf-8") as file:
        headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", file.read(), flags=re.M | re.S), re.M)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


SAMPLE = """# A page
<!-- test: hidden=7 -->
```sh
echo one; echo "two $hidden"
```

```text
one
two …
```

<!-- not run: it would fail -->
```sh
false
```
"""


class Commands(PageCase):
    """What can only be seen by doing."""

    def wrong_with(self, text):
        folder = self.own_folder()
        page = os.path.join(folder, "page.md")
        with open(page, "w", encoding="utf-8") as out:
            out.write(text)
        self.put_parts(folder)
        return documents.run(page, folder, internet=self.internet)

    def test_what_is_wrong_with_a_page_is_noticed(self):
        good = self.wrong_with(SAMPLE)
        if good is None:
            self.skipTest("systemd cannot be booted here")
        self.assertEqual(good, "")
        self.assertIn("page.md:3", self.wrong_with(SAMPLE.replace("echo one;", "false; echo one;")))
        self.assertIn("does not print\n  two", self.wrong_with(SAMPLE.replace('"two $hidden"', "three")))


for _page in RUN_HERE:
    setattr(Commands, "test_" + os.path.basename(_page)[:-3], lambda self, page=_page: self.run_page(page))
