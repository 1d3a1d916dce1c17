"""What the emulator cannot make is left out; all the rest is deployed as it was built."""

from sandbox.aws.template_filter import without_metric_math

TEMPLATE = """\
Parameters:
  Metrics:
    Type: String
Resources:
  Queue:
    Type: AWS::SQS::Queue
  OneMetricAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      MetricName: Errors
      Dimensions:
      - Name: Metrics
  MathAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: Two

        paragraphs
      Metrics:
      - Id: a
      Threshold: 1
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      Metrics: none
Outputs:
  Url:
    Value: x
"""


def test_an_alarm_on_metric_math_is_left_out() -> None:
    start = TEMPLATE.index("  MathAlarm:")
    end = TEMPLATE.index("  Dashboard:")

    assert without_metric_math(TEMPLATE) == TEMPLATE[:start] + TEMPLATE[end:]


def test_a_template_without_one_stays_as_it_is() -> None:
    left = without_metric_math(TEMPLATE)

    assert without_metric_math(left) == left
