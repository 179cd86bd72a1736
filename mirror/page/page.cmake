# The web page's files become a part of oxbow_mirror.
set(page_folder ${CMAKE_SOURCE_DIR}/mirror/page)
file(GLOB page_files CONFIGURE_DEPENDS ${page_folder}/*.html ${page_folder}/*.css ${page_folder}/*.js ${page_folder}/*.svg)
set(page_names "")
foreach(file IN LISTS page_files)
  get_filename_component(name ${file} NAME)
  list(APPEND page_names ${name})
endforeach()
list(JOIN page_names "," page_names)
set(page_source ${CMAKE_BINARY_DIR}/generated/page_files.cc)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
add_custom_command(
  OUTPUT ${page_source}
  COMMAND ${CMAKE_COMMAND} -D OUTPUT=${page_source} -D FOLDER=${page_folder} -D NAMES=${page_names} -P ${page_folder}/embed.cmake
  DEPENDS ${page_files} ${page_folder}/embed.cmake
  COMMENT "Embedding the web page" VERBATIM)
target_sources(oxbow_mirror PRIVATE ${page_source})
