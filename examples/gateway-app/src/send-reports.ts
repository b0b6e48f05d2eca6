import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

/* A client of the gateway: sends each line of its input, and prints the answer or the error. */

const { API_KEY = '', URL = 'http://127.0.0.1:3000' } = process.env;
const socket = io(URL, { extraHeaders: { 'x-api-key': API_KEY }, reconnection: false });
const print = (answer: unknown): void => console.log(JSON.stringify(answer));
const lines = createInterface({ input: process.stdin });

socket.on('connect', () => print('connected'));
socket.on('connect_error', ({ message }) => print({ message }));
socket.on('exception', print);
lines.on('line', (title) => socket.emit('report', title, print));
lines.on('close', () => socket.disconnect());
