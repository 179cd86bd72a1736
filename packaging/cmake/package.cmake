# What is installed, and the Debian package of it.
#   OXBOW_PROGRAM     the program, a path or a generator expression
#   OXBOW_SOURCE      the project's folder
#   OXBOW_VERSION     0.1.0
# `cmake --build --preset release --target package` writes build/release/oxbow_<version>-1_<architecture>.deb.
set(packaging ${OXBOW_SOURCE}/packaging)

install(PROGRAMS ${OXBOW_PROGRAM} DESTINATION bin)
install(FILES ${OXBOW_SOURCE}/config/oxbow.toml DESTINATION /etc/oxbow)
install(FILES ${packaging}/deb/oxbow.service ${packaging}/deb/oxbow.socket DESTINATION /lib/systemd/system)
install(FILES ${packaging}/deb/copyright DESTINATION share/doc/oxbow)
install(FILES ${packaging}/deb/oxbow.lintian-overrides DESTINATION share/lintian/overrides RENAME oxbow)
install(DIRECTORY ${packaging}/monitoring/ DESTINATION share/oxbow/monitoring
        FILES_MATCHING PATTERN "*.json" PATTERN "*.yml")

find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(maintainer "The Oxbow authors <oxbow@packages.invalid>")
configure_file(${packaging}/cmake/finish_install.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/finish_install.cmake @ONLY)
install(SCRIPT ${CMAKE_CURRENT_BINARY_DIR}/finish_install.cmake)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME oxbow)
set(CPACK_PACKAGE_VERSION ${OXBOW_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "mirror of container registries with a ring of peers")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Oxbow is a daemon through which containerd, podman and other OCI clients pull.
It fetches each blob from the registry once, in stripes, checks every byte
against its digest, keeps it on disk and serves it from there afterwards, also
while the registry is down. Several nodes make a ring: what one of them has
pulled the others get from it. Private images stay private.")
set(CPACK_PACKAGE_CONTACT "${maintainer}")
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # the libraries, and since which version
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${packaging}/deb/postinst ${packaging}/deb/prerm ${packaging}/deb/postrm
    ${packaging}/deb/conffiles)
include(CPack)
