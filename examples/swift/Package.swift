// swift-tools-version:5.9
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let package = Package(
    name: "Sample",
    platforms: [.macOS(.v12), .iOS(.v15)],
    targets: [
        // The runtime's sources and the compiled model lie in model/.
        .target(name: "CLfm", path: "model/runtime", exclude: ["CMakeLists.txt"],
                sources: ["src"], publicHeadersPath: "include",
                cxxSettings: [.unsafeFlags(["-fno-exceptions", "-fno-rtti"])]),
        .systemLibrary(name: "CModel", path: "Sources/CModel"),
        .executableTarget(name: "Sample", dependencies: ["CLfm", "CModel"],
                          linkerSettings: [.unsafeFlags(["-Lmodel"])])
    ],
    cxxLanguageStandard: .cxx17)
