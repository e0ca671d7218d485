"""The linters find what they are there to find, and pass what is right."""

import unittest

from tools.lint import build_files, cpp_functions, dependency_law, tidy

HEADER = "// A thing.\n#pragma once\n"


class TidyTest(unittest.TestCase):
    def assert_found(self, path, text, message):
        found = tidy.findings({path: text})
        self.assertTrue(any(message in line for line in found), "%r not in %r" % (message, found))

    def assert_clean(self, texts):
        self.assertEqual(tidy.findings(texts), [])

    def test_passes_a_good_file(self):
        source = '#include "core/x/thing.h"\n\nint f() { return 1; }\n'
        self.assert_clean({"core/x/thing.h": HEADER, "core/x/thing.cc": source})

    def test_file_names(self):
        self.assert_found("core/x/math_utils.h", HEADER, "a file called 'utils'")
        self.assert_found("core/x/common.h", HEADER, "a file called 'common'")
        self.assert_found("core/x/BUILD", "", "BUILD.bazel")
        self.assert_clean({"core/x/futility.h": HEADER})

    def test_white_space(self):
        self.assert_found("a.cc", "int a;", "no newline")
        self.assert_found("a.cc", "\tint a;\n", "a tab")
        self.assert_found("a.cc", "int a; \n", "space at the end")
        self.assert_found("a.cc", "int a;\r\n", "space at the end")

    def test_line_length(self):
        self.assert_found("a.cc", "int " + 96 * "a" + ";\n", "101 columns")
        self.assert_clean({"a.cc": "int " + 95 * "a" + ";\n"})
        self.assert_found("a.md", 30 * "word " + "\n", "columns; at most 120")
        self.assert_clean({"a.md": "|" + 200 * "-" + "|\n"})

    def test_todos(self):
        self.assert_found("a.cc", "// TODO\n", "without its reason")
        self.assert_found("a.cc", "// TODO: later\n", "without its reason")
        self.assert_found("a.cc", "// FIXME: it is broken somehow\n", "say what")
        self.assert_clean({"a.cc": "// TODO: drop when Bazel 7 is everywhere\n"})

    def test_forbidden_words(self):
        self.assert_found("a.md", "see `/root/x`\n", "a path of one machine")
        self.assert_found("a.md", "see /home/someone\n", "a path of one machine")
        self.assert_found("a.md", "in this session\n", "of itself alone")
        self.assert_found("a.md", "solves issue 7\n", "of itself alone")
        self.assert_found("a.md", "from " + "crates" + ".io\n", "package registry")
        self.assert_clean({"a.md": "frame/work/x, obsessions, /usr/lib\n"})

    def test_leading_comments(self):
        self.assert_found("a.h", "#pragma once\n", "begins with a comment")
        self.assert_found("a.cuh", "// A thing.\n", "no '#pragma once'")
        self.assert_found("a.py", "import os\n", "begins with a docstring")
        self.assert_found("a.sh", "#!/bin/bash\nexit\n", "begins with a comment")

    def test_function_length(self):
        body = "  a();\n"
        self.assert_found("a.cc", "void f() {\n" + 70 * body + "}\n", "a function of 72 lines")
        self.assert_clean({"a.cc": "void f() {\n" + 68 * body + "}\n"})
        self.assert_clean({"a.cc": "// Long because its stages share registers.\nvoid f() {\n" + 99 * body + "}\n"})
        self.assert_found("a.py", '"""x"""\ndef f():\n' + 70 * "    a()\n", "a function of 71 lines")

    def test_cpp_habits(self):
        self.assert_found("a.cc", "#ifdef __CUDACC__\n#if defined(__CUDACC__)\n#endif\n", "never an #ifdef")
        self.assert_clean({"a.cu": "#if __CUDA_ARCH__ >= 900\n#endif\n"})
        self.assert_found("a.cc", "  assert(x > 0);\n", "assert is gone")
        self.assert_clean({"a.cc": '  static_assert(x > 0);\n  // assert(x) is gone\n  f("assert(x)");\n'})
        self.assert_found("a.cc", "  // Run(step, 3);\n", "code in a comment")
        self.assert_found("a.cc", "  // x = y + 2;\n", "code in a comment")
        self.assert_found("a.cc", "DEFINE_int32(a, 1, x);\n", "declare flags")

    def test_pages(self):
        self.assert_found("docs/a.md", "[b](../b.md)\n", "leads nowhere")
        self.assert_found("docs/a.md", "[b](#nothing)\n", "no heading")
        self.assert_found("docs/a.md", "# Part\n[b](a.md#nothing)\n", "no heading for #nothing in docs/a.md")
        self.assert_clean({"docs/a.md": "# Some Part\n[b](../b.md#b) [c](../docs) [d](#some-part)\n", "b.md": "# B\n"})

    def test_pages_name_what_exists(self):
        for name in ("`core/gone.h`", "`//core/gone:x`", "`core/gone/`", "`//core/gone/...`"):
            self.assert_found("docs/a.md", name + "\n", "there is no core/gone")
        self.assert_clean({
            "docs/a.md": "`core/b/c.py` `core/b/` `//core/b:x` `//core/b/...` `core/b/<op>.h`\n",
            "core/b/c.py": "# C.\n",
            "docs/results/a.md": "`core/gone.h`\n",
        })

    def test_third_party(self):
        path = "third_party/zlib/repository.bzl"
        self.assert_found(path, '"""zlib."""\n', "what the dependency is for")
        self.assert_found(path, '"""zlib: compresses the long logs."""\n', "not loaded")
        self.assert_found(path, '"""zlib: compresses the long logs."""\n', "not named in MODULE.bazel")
        lists = {
            "third_party/repositories.bzl": '"""All."""\nload("//third_party/zlib:repository.bzl", "zlib")\n',
            "MODULE.bazel": '"""All."""\nuse_repo(libraries, "zlib")\n',
        }
        self.assert_clean({path: '"""zlib: compresses the long logs."""\n', **lists})
        # The modules of Bazel's rules come from its registry.
        path = "third_party/bazel_stand_ins/repository.bzl"
        lists["third_party/repositories.bzl"] += 'load("//third_party/bazel_stand_ins:repository.bzl", "x")\n'
        self.assert_clean({path: '"""The rules that Bazel itself loads."""\n', **lists})

    def test_libraries(self):
        path = "core/x/BUILD.bazel"
        self.assert_found(path, 'sluice_cc_library(name = "a", hdrs = ["a.h", "b.h"])\n', "more than one header")
        path = "bench/x/BUILD.bazel"
        binary = 'sluice_cc_binary(name = "a")\n'
        self.assert_found(path, binary, "no test runs //bench/x:a")
        self.assert_clean({path: binary + 'sh_test(name = "t", data = [":a"])\n'})


class FunctionsTest(unittest.TestCase):
    def test_finds_methods_and_functions_but_not_scopes(self):
        code = (
            "namespace a {\n"
            "class B : public C {\n"
            "  int f() const {\n    if (x) {\n    }\n    return 1;\n  }\n"
            "};\n"
            "// void g() {\n"
            'const char* text = "void h() {";\n'
            "template <typename T>\nvoid k(T t) {\n}\n"
            "}  // namespace a\n"
        )
        found = [(line, size) for line, size, _ in cpp_functions.functions(code)]
        self.assertEqual(found, [(3, 5), (11, 3)])

    def test_sees_through_digit_separators_and_raw_strings(self):
        code = 'int f() {\n  g(1\'000, R"(}}} ")");\n  return \'}\';\n}\n'
        self.assertEqual([size for _, size, _ in cpp_functions.functions(code)], [4])


class DependencyLawTest(unittest.TestCase):
    def assert_refused(self, texts, message):
        found = dependency_law.findings(texts)
        self.assertTrue(any(message in line for line in found), "%r not in %r" % (message, found))

    def assert_include_refused(self, user, used):
        texts = {user: '#include "%s"\n' % used, used: ""}
        self.assert_refused(texts, "may not use " + used)

    def assert_include_allowed(self, user, used):
        self.assertEqual(dependency_law.findings({user: '#include "%s"\n' % used, used: ""}), [])

    def test_layers_by_include(self):
        self.assert_include_refused("core/base/a.h", "core/tensor/b.h")
        self.assert_include_refused("core/model/a.h", "parallel/plan/b.h")
        self.assert_include_refused("parallel/exec/a.cc", "bench/harness/b.h")
        self.assert_include_refused("parallel/schedule/a.cc", "core/tensor/b.h")
        self.assert_include_refused("parallel/plan/a.cc", "parallel/exec/b.h")
        self.assert_include_refused("bench/a.cc", "correctness/b.h")
        self.assert_include_refused("core/model/a.cu", "tools/b.cuh")
        self.assert_include_allowed("bench/a.cc", "parallel/exec/b.h")
        self.assert_include_allowed("parallel/schedule/a.cc", "core/base/b.h")
        self.assert_include_allowed("parallel/comm/thread/a.cc", "parallel/comm/b.h")

    def test_layers_by_label(self):
        for attribute in ("deps", "data", "srcs"):
            rule = 'x(name = "a", %s = ["//parallel/exec"] + select({"b": []}))\n' % attribute
            self.assert_refused({"core/x/BUILD.bazel": rule}, "//core/x:a may not use //parallel/exec:exec")

    def test_visibility_and_build_files_are_no_use(self):
        rule = 'load("//tools/build_defs:cc.bzl", "x")\nx(name = "a", visibility = ["//bench:__subpackages__"])\n'
        self.assertEqual(dependency_law.findings({"core/x/BUILD.bazel": rule}), [])

    def test_core_is_not_public(self):
        rule = 'package(default_visibility = ["//visibility:public"])\n'
        self.assert_refused({"core/x/BUILD.bazel": rule}, "core/x/BUILD.bazel: a package of core")
        self.assertEqual(dependency_law.findings({"third_party/x/BUILD.bazel": rule}), [])

    def test_unknown_files(self):
        self.assert_refused({"core/x/a.cc": '#include "a.h"\n'}, "no such file")

    def test_the_reference_reaches_no_kernel(self):
        texts = {
            "core/reference/a.cc": '#include "core/model/b.h"\n',
            "core/model/b.h": '#include "core/kernels/c.h"\n',
            "core/kernels/c.h": "",
        }
        self.assert_refused(texts, "core/reference/a.cc reaches core/kernels/c.h")
        texts = {
            "core/reference/BUILD.bazel": 'x(name = "a", deps = ["//core/model:b"])\n',
            "core/model/BUILD.bazel": 'x(name = "b", deps = ["//core/kernels:c"])\n',
        }
        self.assert_refused(texts, "//core/reference:a reaches //core/kernels:c")


class BuildFilesTest(unittest.TestCase):
    def test_reads_labels_in_every_form(self):
        text = 'x(name = "a", deps = [":b", "//c", "//c/d:e", "@fmt"] + select({"//f:g": [":h"]}))\n'
        labels = build_files.targets({"p/BUILD.bazel": text})[0].labels()
        self.assertEqual(sorted(labels), ["//c/d:e", "//c:c", "//f:g", "//p:b", "//p:h"])


if __name__ == "__main__":
    unittest.main()
