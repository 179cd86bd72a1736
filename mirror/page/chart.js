// Throughput of the last five minutes: areas on top of one another for what clients got, lines for what crossed the
// network.
import {pen} from './dom.js';
import * as format from './format.js';
import {fill_of, palette} from './palette.js';
import {kChartSeconds} from './rates.js';

const kHeight = 190;
const kLeft = 4, kRight = 4, kTop = 20, kBottom = 20;
/** Points nearer than this are averaged: a quarter of the noise, none of the shape. */
const kStepSeconds = 2;

/** `series`: [{key, dash}] in the order of `rows[].values`. `stacked`: areas, else lines. */
export function draw_chart(canvas, rows, now, series, stacked) {
  const at = pen(canvas, kHeight);
  if (!at) return;
  const points = averaged(rows);
  const top = nice(Math.max(1024, ...points.map((p) => (p.values ? peak(p.values, stacked) : 0))));
  const frame = {
    ...at,
    x: (time) => kLeft + (at.width - kLeft - kRight) * (1 - (now - time) / kChartSeconds),
    y: (value) => at.height - kBottom - ((at.height - kTop - kBottom) * value) / top,
  };
  draw_grid(frame, top);
  const runs = unbroken(points);
  if (stacked) {
    series.forEach((part, index) => runs.forEach((run) => draw_area(frame, run, index, part)));
  } else {
    series.forEach((part, index) => runs.forEach((run) => draw_line(frame, run, index, part)));
  }
  if (!runs.length) draw_note(frame, 'collecting the first seconds');
}

function averaged(rows) {
  const points = [];
  for (const row of rows) {
    const bucket = Math.floor(row.at / kStepSeconds);
    const last = points.at(-1);
    if (last && last.bucket === bucket && last.values && row.values) {
      const spent = last.spent + row.spent;
      last.values = last.values.map((value, i) => (value * last.spent + row.values[i] * row.spent) / spent);
      last.spent = spent;
      last.at = row.at;
    } else {
      points.push({...row, bucket});
    }
  }
  return points;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const peak = (values, stacked) => (stacked ? sum(values) : Math.max(...values));

/** The next round number in binary units, so that the grid's halves are round too. */
function nice(value) {
  const unit = 1024 ** Math.floor(Math.log(value) / Math.log(1024));
  for (const step of [1, 2, 3, 4, 6, 8, 10, 16, 20, 30, 40, 60, 80, 100, 160, 200, 300, 400, 600, 800, 1024]) {
    if (step * unit >= value) return step * unit;
  }
  return value;
}

function draw_grid({context, width, height, y, x}, top) {
  const colours = palette();
  context.font = '11px system-ui, sans-serif';
  context.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    const at = Math.round(y(part * top)) + 0.5;
    context.strokeStyle = part === 0 ? colours.muted : colours.line;
    context.beginPath();
    context.moveTo(kLeft, at);
    context.lineTo(width - kRight, at);
    context.stroke();
    context.fillStyle = colours.muted;
    context.textAlign = 'left';
    if (part > 0) context.fillText(format.rate(part * top), kLeft, at - 5);
  }
  context.textAlign = 'center';
  for (let back = 60; back < kChartSeconds; back += 60) {
    const time = kChartSeconds - back;
    context.fillText(`−${time / 60} min`, kLeft + ((width - kLeft - kRight) * back) / kChartSeconds, height - 5);
  }
  context.textAlign = 'right';
  context.fillText('now', width - kRight, height - 5);
}

function unbroken(points) {
  const runs = [];
  let run = [];
  for (const point of points) {
    if (point.values) {
      run.push(point);
    } else {
      if (run.length > 1) runs.push(run);
      run = [];
    }
  }
  if (run.length > 1) runs.push(run);
  return runs;
}

function draw_area({context, x, y}, run, index, part) {
  const below = (point) => sum(point.values.slice(0, index));
  context.beginPath();
  run.forEach((point) => context.lineTo(x(point.at), y(below(point) + point.values[index])));
  [...run].reverse().forEach((point) => context.lineTo(x(point.at), y(below(point))));
  context.closePath();
  context.fillStyle = fill_of(context, part.key);
  context.fill();
}

function draw_line({context, x, y}, run, index, part) {
  context.beginPath();
  run.forEach((point) => context.lineTo(x(point.at), y(point.values[index])));
  context.strokeStyle = palette()[part.key];
  context.lineWidth = 2;
  context.lineJoin = 'round';
  context.setLineDash(part.dash || []);
  context.stroke();
  context.setLineDash([]);
}

function draw_note({context, width, height}, text) {
  context.fillStyle = palette().muted;
  context.font = '13px system-ui, sans-serif';
  context.textAlign = 'center';
  context.fillText(text, width / 2, height / 2);
}
