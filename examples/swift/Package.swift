// swift-tools-version:5.9
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let package = Package(
    name: "Sample",
    platforms: [.macOS(.v12)],
    targets: [
        // The runtime's sources and the compiled model lie in model/. Its headers in
        // include/ have C++ among them, of which SwiftPM would make a module of C.
        .target(name: "CLfm", path: "model/runtime", exclude: ["CMakeLists.txt"],
                sources: ["src"], publicHeadersPath: "src",
                cxxSettings: [.headerSearchPath("include"),
                              .unsafeFlags(["-fno-exceptions", "-fno-rtti"])]),
        .systemLibrary(name: "CModel", path: "Sources/CModel"),
        .executableTarget(name: "Sample", dependencies: ["CLfm", "CModel"],
                          swiftSettings: [.unsafeFlags(["-Xcc", "-Imodel"])],
                          linkerSettings: [.unsafeFlags(["-Lmodel"])])
    ],
    cxxLanguageStandard: .cxx17)
