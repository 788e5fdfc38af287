fyr_test(swim_sim_test
  SOURCES swim_simulator.cc swim_sim_test.cc
  DEPS fyr_swim LABELS sim pure)
