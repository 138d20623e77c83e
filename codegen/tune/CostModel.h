// SPDX-License-Identifier: Apache-2.0
//
// A small learned model of a kernel's time: Gaussian process regression, that
// says how sure it is.
#ifndef LFMC_CODEGEN_TUNE_COSTMODEL_H
#define LFMC_CODEGEN_TUNE_COSTMODEL_H

#include <cstddef>
#include <vector>

namespace lfmc::tune {

class CostModel {
public:
  struct Sample {
    std::vector<double> point;
    double value;
    bool related; ///< of another kernel: tells less
  };
  struct Prediction {
    double mean, deviation;
  };

  /// Fits to `samples`, at least one, all with points of one size. Lengths in
  /// each coordinate and the noise are those that make the samples most likely.
  explicit CostModel(std::vector<Sample> samples);

  Prediction predict(const std::vector<double> &point) const;

private:
  double covariance(const std::vector<double> &a, const std::vector<double> &b,
                    bool sameKernel) const;
  double fit(); ///< returns the logarithm of the likelihood

  std::vector<Sample> samples;
  std::vector<double> lengths; ///< by coordinate
  double noise = 0.02;         ///< variance, of 1
  double center = 0, scale = 1;
  std::vector<double> factor;  ///< Cholesky factor, [n][n]
  std::vector<double> weights; ///< covariance⁻¹ · values
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_COSTMODEL_H
