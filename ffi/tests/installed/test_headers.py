"""The headers compile on their own in every supported dialect, and define only what they must."""

import re
import unittest

from support import PREFIX, STRICT, compilers, run

INCLUDE = f"-I{PREFIX}/include"
HPP = ("varta.hpp", "varta_codec.hpp")


class Headers(unittest.TestCase):
    def alone(self, compiler: str, language: str, standard: str, text: str, *more: str) -> None:
        with self.subTest(compiler=compiler, standard=standard, more=more):
            command = [compiler, "-x", language, f"-std={standard}", *STRICT, *more, INCLUDE]
            run(*command, "-fsyntax-only", "-", input=text)

    def test_varta_h_in_c(self) -> None:
        for compiler in compilers("c"):
            for standard in ("c99", "c11", "c17"):
                self.alone(compiler, "c", standard, "#include <varta.h>\n#include <varta.h>\n")

    def test_varta_h_in_cpp(self) -> None:
        for compiler in compilers("c++"):
            for standard in ("c++11", "c++17", "c++20"):
                self.alone(compiler, "c++", standard, "#include <varta.h>\n#include <varta.h>\n")
                self.alone(compiler, "c++", standard, 'extern "C" {\n#include <varta.h>\n}\n')

    def test_varta_hpp(self) -> None:
        for compiler in compilers("c++"):
            for standard in ("c++17", "c++20", "c++2b"):
                for exceptions in ("-fexceptions", "-fno-exceptions"):
                    for header in HPP:
                        text = f"#include <{header}>\n" * 2
                        more = ["-Wconversion", "-Wshadow", exceptions]
                        self.alone(compiler, "c++", standard, text, *more)

    def test_varta_hpp_is_a_range_for_algorithms(self) -> None:
        text = "#include <ranges>\n#include <varta.hpp>\nstatic_assert(std::ranges::input_range<varta::Events>);\n"
        for compiler in compilers("c++"):
            self.alone(compiler, "c++", "c++20", text)

    def test_the_cpp_headers_define_no_macro_except_their_guards(self) -> None:
        lines = [line for header in HPP for line in (PREFIX / "include" / header).read_text().splitlines()]
        standard = "".join(f"{line}\n" for line in lines if re.match("#include (?!<varta.*hpp>)", line))
        for compiler in compilers("c++"):
            macros = [
                set(run(compiler, "-x", "c++", "-std=c++17", "-dM", "-E", INCLUDE, "-", input=text).splitlines())
                for text in (standard, "".join(f"#include <{header}>\n" for header in HPP))
            ]
            new = {re.match(r"#define (\w+)", line)[1] for line in macros[1] - macros[0]}
            self.assertEqual(new, {"VARTA_HPP", "VARTA_CODEC_HPP"})

    def test_moves_and_does_not_copy(self) -> None:
        text = (
            "#include <type_traits>\n#include <utility>\n#include <varta.hpp>\n"
            "template <typename T> constexpr bool moves = std::is_nothrow_move_constructible_v<T> &&\n"
            "    std::is_nothrow_move_assignable_v<T> && !std::is_copy_constructible_v<T>;\n"
            "static_assert(moves<varta::Agent> && moves<varta::Observer>);\n"
            "static_assert(moves<varta::Task> && moves<varta::Span>);\n"
            "static_assert(sizeof(varta::Event) == sizeof(varta_event));\n"
        )
        for compiler in compilers("c++"):
            self.alone(compiler, "c++", "c++17", text)

    def test_mistakes_do_not_compile(self) -> None:
        mistakes = {
            "nodiscard|unused-result": 'varta::Agent::connect("@x");',
            "nodiscard|ignoring return": "varta::Task t; t.watch(varta::never);",
            "no known conversion|cannot convert|could not convert|invalid init": "varta::Salt s; (void)varta::derive_agent_key(s, 1);",
            "qualifiers|lvalue|rvalue": "for (auto &e : varta::Observer::simulate().events()) (void)e;",
        }
        for compiler in compilers("c++"):
            for message, mistake in mistakes.items():
                text = f"#include <varta_codec.hpp>\nvoid f() {{ {mistake} }}\n"
                with self.subTest(compiler=compiler), self.assertRaisesRegex(AssertionError, message):
                    run(compiler, "-x", "c++", "-std=c++17", *STRICT, INCLUDE, "-fsyntax-only", "-", input=text)


if __name__ == "__main__":
    unittest.main()
