# SPDX-License-Identifier: Apache-2.0
# What README shows, as a user would do it: compiles the small checkpoint, then
# builds examples/chat-c with the package's CMake files and README's C++ example
# by hand; both must answer.
# usage: cmake -DROOT=… -DLFMC=… -DSCRATCH=… -DCC=… -DCXX=… [-DFLAGS=…] -P …
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})
set(name lfm2_1b) # as README calls its model
set(package ${SCRATCH}/package)
separate_arguments(flags UNIX_COMMAND "${FLAGS}")

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(expect_answer)
  execute_process(${ARGN} OUTPUT_VARIABLE answer COMMAND_ERROR_IS_FATAL ANY)
  string(LENGTH "${answer}" length)
  if(length LESS 10)
    message(FATAL_ERROR "expected an answer, got \"${answer}\"")
  endif()
endfunction()

run(${LFMC} compile ${ROOT}/examples/lfm2-small-dense -o ${package}
    --name ${name} --max-context 512)

run(${CMAKE_COMMAND} -G Ninja -S ${ROOT}/examples/chat-c -B ${SCRATCH}/chat
    -DMODEL=${name} -D${name}_DIR=${package}/lib/cmake/${name}
    -DCMAKE_C_COMPILER=${CC} -DCMAKE_CXX_COMPILER=${CXX}
    -DCMAKE_EXE_LINKER_FLAGS=${FLAGS})
run(${CMAKE_COMMAND} --build ${SCRATCH}/chat)
file(WRITE ${SCRATCH}/lines "Define cynic.\nDefine it again.\n")
expect_answer(COMMAND ${SCRATCH}/chat/chat INPUT_FILE ${SCRATCH}/lines)

file(READ ${ROOT}/README.md readme)
string(REGEX MATCH "```c\\+\\+\n([^`]*)```" block "${readme}")
file(WRITE ${SCRATCH}/example.cpp "${CMAKE_MATCH_1}")
run(${CXX} -std=c++17 ${flags} ${SCRATCH}/example.cpp -I${package} -L${package}
    -l${name} -lpthread -o ${SCRATCH}/example)
expect_answer(COMMAND ${SCRATCH}/example WORKING_DIRECTORY ${package})
